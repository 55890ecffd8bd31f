#include "retort/tensor/codecs.h"
#include "retort/tensor/float_bits.h"

// IQ4_NL: f16 scale d, nibbles as in Q4_0 that index 16 fixed values. Value: table[q]·d.
// IQ4_XS: the same codes in super-blocks of 8 × 32: f16 d, u16 high scale bits, 4 bytes of low
// scale nibbles, 128 bytes of codes. Value: d·(s - 32)·table[q], s of 6 bits.
namespace retort::codec {

void DecodeIQ4_NL(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += 18, y += 32) {
    const float scale = F16ToF32(LoadAs<uint16_t>(&blocks[b]));
    for (size_t j = 0; j < 16; ++j) {
      const int code = LoadAs<uint8_t>(&blocks[b + 2 + j]);
      y[j] = scale * static_cast<float>(kIq4Values[code & 15]);
      y[j + 16] = scale * static_cast<float>(kIq4Values[code >> 4]);
    }
  }
}

void DecodeIQ4_XS(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += 136) {
    const float super = F16ToF32(LoadAs<uint16_t>(&blocks[b]));
    const int scales_high = LoadAs<uint16_t>(&blocks[b + 2]);
    for (size_t group = 0; group < 8; ++group, y += 32) {
      const int low = (LoadAs<uint8_t>(&blocks[b + 4 + group / 2]) >> (4 * (group % 2))) & 15;
      const int high = (scales_high >> (2 * group)) & 3;
      const float scale = super * static_cast<float>((low | high << 4) - 32);
      const std::byte* codes = &blocks[b + 8 + 16 * group];
      for (size_t j = 0; j < 16; ++j) {
        const int code = LoadAs<uint8_t>(codes + j);
        y[j] = scale * static_cast<float>(kIq4Values[code & 15]);
        y[j + 16] = scale * static_cast<float>(kIq4Values[code >> 4]);
      }
    }
  }
}

}  // namespace retort::codec
