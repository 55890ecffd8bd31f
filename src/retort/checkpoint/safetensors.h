#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "retort/checkpoint/weight_file.h"

namespace retort {

// The reference reader's bound on the JSON header.
inline constexpr uint64_t kSafetensorsHeaderBytesMax = 100'000'000;

// Reads a safetensors file: u64 header length, JSON header, data. `metadata` is its "__metadata__".
// `bytes` is the whole file and must outlive the result; `origin` names it in errors. Refuses, with
// Error{kCorrupt}: headers that do not fit, are not JSON or name a tensor twice; dtypes not in the
// format; shapes whose size overflows or disagrees with the offsets; data with holes, overlaps, or
// bytes that no tensor owns. A dtype this build cannot compute with is listed as kUnsupported.
WeightFile ParseSafetensors(std::span<const std::byte> bytes, std::string_view origin);

}  // namespace retort
