#pragma once

#include "retort/tensor/float_bits.h"
#include "retort/tensor/format.h"

// Private to backend/cpu: one value of a KV cache, in the cache's format.
namespace retort::cpu {

inline float LoadKvValue(Format format, const std::byte* values, int64_t index) {
  if (format == Format::kF32) return LoadAs<float>(values + 4 * index);
  const auto bits = LoadAs<uint16_t>(values + 2 * index);
  return format == Format::kF16 ? F16ToF32(bits) : BF16ToF32(bits);
}

inline void StoreKvValue(Format format, std::byte* values, int64_t index, float value) {
  if (format == Format::kF32) return StoreAs<float>(values + 4 * index, value);
  StoreAs<uint16_t>(values + 2 * index,
                    format == Format::kF16 ? F32ToF16(value) : F32ToBF16(value));
}

}  // namespace retort::cpu
