#include <bit>

#include "retort/tensor/codecs.h"
#include "retort/tensor/float_bits.h"

// MXFP4: one byte e (a power of two), nibbles as in Q4_0 that are 4-bit floats (sign, 2 exponent
// bits, 1 fraction bit), kept as twice their value. Value: table[q]·2^(e - 128).
namespace retort::codec {
namespace {

constexpr signed char kTwiceE2M1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 2^(exponent - 128); the two smallest are subnormal.
float PowerOfTwo(uint32_t exponent) {
  return std::bit_cast<float>(exponent < 2 ? 0x200000u << exponent : (exponent - 1) << 23);
}

}  // namespace

void DecodeMXFP4(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += 17, y += 32) {
    const float scale = PowerOfTwo(LoadAs<uint8_t>(&blocks[b]));
    for (size_t j = 0; j < 16; ++j) {
      const int code = LoadAs<uint8_t>(&blocks[b + 1 + j]);
      y[j] = static_cast<float>(kTwiceE2M1[code & 15]) * scale;
      y[j + 16] = static_cast<float>(kTwiceE2M1[code >> 4]) * scale;
    }
  }
}

}  // namespace retort::codec
