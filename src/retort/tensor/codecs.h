#pragma once

#include <cstddef>
#include <span>

// Private to tensor/: the codecs behind the table in format.cc, one source file per storage format.
// Sizes are checked by the callers in format.cc.
namespace retort::codec {

void DecodeF32(std::span<const std::byte> blocks, std::span<float> out);
void DecodeF16(std::span<const std::byte> blocks, std::span<float> out);
void DecodeBF16(std::span<const std::byte> blocks, std::span<float> out);
void DecodeF64(std::span<const std::byte> blocks, std::span<float> out);
void DecodeF8E4M3(std::span<const std::byte> blocks, std::span<float> out);
void DecodeF8E5M2(std::span<const std::byte> blocks, std::span<float> out);
void DecodeQ4_0(std::span<const std::byte> blocks, std::span<float> out);
void DecodeQ4_1(std::span<const std::byte> blocks, std::span<float> out);
void DecodeQ5_0(std::span<const std::byte> blocks, std::span<float> out);
void DecodeQ5_1(std::span<const std::byte> blocks, std::span<float> out);
void DecodeQ8_0(std::span<const std::byte> blocks, std::span<float> out);
void DecodeIQ4_NL(std::span<const std::byte> blocks, std::span<float> out);
void DecodeQ2_K(std::span<const std::byte> blocks, std::span<float> out);
void DecodeQ3_K(std::span<const std::byte> blocks, std::span<float> out);
void DecodeQ4_K(std::span<const std::byte> blocks, std::span<float> out);
void DecodeQ5_K(std::span<const std::byte> blocks, std::span<float> out);
void DecodeQ6_K(std::span<const std::byte> blocks, std::span<float> out);
void DecodeIQ4_XS(std::span<const std::byte> blocks, std::span<float> out);
void DecodeMXFP4(std::span<const std::byte> blocks, std::span<float> out);
void DecodeTQ1_0(std::span<const std::byte> blocks, std::span<float> out);
void DecodeTQ2_0(std::span<const std::byte> blocks, std::span<float> out);

void EncodeF32(std::span<const float> values, std::span<std::byte> out);
void EncodeF16(std::span<const float> values, std::span<std::byte> out);
void EncodeBF16(std::span<const float> values, std::span<std::byte> out);
void EncodeQ4_0(std::span<const float> values, std::span<std::byte> out);
void EncodeQ4_1(std::span<const float> values, std::span<std::byte> out);
void EncodeQ5_0(std::span<const float> values, std::span<std::byte> out);
void EncodeQ5_1(std::span<const float> values, std::span<std::byte> out);
void EncodeQ8_0(std::span<const float> values, std::span<std::byte> out);

// The 16 values of IQ4_NL and IQ4_XS codes.
inline constexpr signed char kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

// The integer nearest below `value`, held within [0, code_max]; NaN gives 0.
inline int FloorCode(float value, int code_max) {
  if (!(value > 0)) return 0;
  return value >= static_cast<float>(code_max) ? code_max : static_cast<int>(value);
}

}  // namespace retort::codec
