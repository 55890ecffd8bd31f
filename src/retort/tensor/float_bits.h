#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace retort {

// Every format stores little-endian numbers, at any alignment.
static_assert(std::endian::native == std::endian::little, "big-endian machines are not supported");

template <typename T, typename Byte>
T LoadAs(const Byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <typename T, typename Byte>
void StoreAs(Byte* bytes, T value) {
  std::memcpy(bytes, &value, sizeof value);
}

// IEEE binary16 to binary32, exact; a NaN keeps its payload and becomes quiet, as VCVTPH2PS does.
constexpr float F16ToF32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t fraction = half & 0x3ff;
  if (exponent == 0) {  // zero or subnormal: fraction · 2^-24
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  if (exponent == 31) {
    const uint32_t quiet = fraction != 0 ? 0x400000 : 0;
    return std::bit_cast<float>(sign | 0x7f800000 | quiet | (fraction << 13));
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}

// binary32 to binary16, round to nearest even; overflow gives infinity, NaN stays NaN (quiet).
constexpr uint16_t F32ToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  }
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // rounds to >= 2^16
  if (magnitude < 0x38800000) {                                      // below 2^-14: subnormal half
    if (magnitude < 0x33000000) return static_cast<uint16_t>(sign);  // below 2^-25: rounds to zero
    const uint32_t shift = 126 - (magnitude >> 23);                  // 14..24
    const uint32_t significand = (magnitude & 0x7fffff) | 0x800000;
    const uint32_t half = significand >> shift;
    const uint32_t rest = significand & ((1u << shift) - 1);
    const uint32_t middle = 1u << (shift - 1);
    const uint32_t up = rest > middle || (rest == middle && (half & 1)) ? 1 : 0;
    return static_cast<uint16_t>(sign | (half + up));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13));
}

// bfloat16 to binary32: exact for every pattern.
constexpr float BF16ToF32(uint16_t brain) {
  return std::bit_cast<float>(static_cast<uint32_t>(brain) << 16);
}

// binary32 to bfloat16, round to nearest even; NaN stays NaN (quiet).
constexpr uint16_t F32ToBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// FP8 E4M3FN (no infinity, NaN is 0x7f and 0xff) to binary32, exact.
constexpr float F8E4M3ToF32(uint8_t byte) {
  const uint32_t sign = static_cast<uint32_t>(byte & 0x80) << 24;
  const uint32_t exponent = (byte >> 3) & 0xf;
  const uint32_t fraction = byte & 7;
  if (exponent == 15 && fraction == 7) return std::bit_cast<float>(sign | 0x7fc00000);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-9f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | ((exponent + 120) << 23) | (fraction << 20));
}

// FP8 E5M2 (the upper byte of a binary16) to binary32, exact.
constexpr float F8E5M2ToF32(uint8_t byte) { return F16ToF32(static_cast<uint16_t>(byte << 8)); }

}  // namespace retort
