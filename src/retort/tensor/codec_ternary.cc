#include "retort/tensor/codecs.h"
#include "retort/tensor/float_bits.h"

// Ternary weights, value (q - 1)·d with q in 0..2 and f16 d, 256 to a block.
//   TQ1_0  qs[48], qh[4], d: five base-3 digits in a byte (four in the last 4), stored as the
//   fraction
//          byte / 256 whose leading digit is floor(3·fraction)
//   TQ2_0  qs[64], d: 2 bits each
namespace retort::codec {
namespace {

// Digit `n` of a byte: shift n digits out at the top (modulo 256), then take the leading one.
int Digit(const std::byte* byte, size_t n) {
  constexpr uint8_t kPowersOf3[5] = {1, 3, 9, 27, 81};
  const auto shifted = static_cast<uint8_t>(LoadAs<uint8_t>(byte) * kPowersOf3[n]);
  return shifted * 3 >> 8;
}

// Digit-major: digit 0 of `count` bytes, then digit 1 of them, ...
float* DecodeDigits(const std::byte* bytes, size_t count, size_t num_digits, float scale,
                    float* y) {
  for (size_t n = 0; n < num_digits; ++n) {
    for (size_t j = 0; j < count; ++j) *y++ = static_cast<float>(Digit(bytes + j, n) - 1) * scale;
  }
  return y;
}

}  // namespace

void DecodeTQ1_0(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += 54) {
    const float scale = F16ToF32(LoadAs<uint16_t>(&blocks[b + 52]));
    y = DecodeDigits(&blocks[b], 32, 5, scale, y);
    y = DecodeDigits(&blocks[b + 32], 16, 5, scale, y);
    y = DecodeDigits(&blocks[b + 48], 4, 4, scale, y);
  }
}

void DecodeTQ2_0(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += 66) {
    const float scale = F16ToF32(LoadAs<uint16_t>(&blocks[b + 64]));
    for (size_t half = 0; half < 64; half += 32) {
      for (size_t shift = 0; shift < 8; shift += 2) {
        for (size_t j = 0; j < 32; ++j) {
          const int code = (LoadAs<uint8_t>(&blocks[b + half + j]) >> shift) & 3;
          *y++ = static_cast<float>(code - 1) * scale;
        }
      }
    }
  }
}

}  // namespace retort::codec
