#pragma once

#include <memory>

#include "retort/backend/device.h"

namespace retort {

// The judge of all other backends: every operation as its formula reads, one row after the other,
// in double precision, rounded once to f32. Weights are decoded to f32 when packed (so they take 4
// bytes a value), activations are never quantised (kNative is kExact), keys and values are rounded
// to the cache's format. Fresh memory is filled with NaN, so that a read before a write shows.
std::unique_ptr<Device> OpenRefDevice();

}  // namespace retort
