#include <cmath>

#include "retort/tensor/codecs.h"
#include "retort/tensor/float_bits.h"

// Q5_0: f16 scale d, u32 fifth bits (bit j of value j), 16 bytes of nibbles as in Q4_0.
// Value: (q - 16)·d.
namespace retort::codec {
namespace {
constexpr size_t kBytes = 22;
}  // namespace

void DecodeQ5_0(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += kBytes, y += 32) {
    const float scale = F16ToF32(LoadAs<uint16_t>(&blocks[b]));
    const uint32_t fifth = LoadAs<uint32_t>(&blocks[b + 2]);
    for (size_t j = 0; j < 16; ++j) {
      const int code = LoadAs<uint8_t>(&blocks[b + 6 + j]);
      const int low = (code & 15) | static_cast<int>((fifth >> j) & 1) << 4;
      const int high = (code >> 4) | static_cast<int>((fifth >> (j + 16)) & 1) << 4;
      y[j] = static_cast<float>(low - 16) * scale;
      y[j + 16] = static_cast<float>(high - 16) * scale;
    }
  }
}

void EncodeQ5_0(std::span<const float> values, std::span<std::byte> out) {
  const float* x = values.data();
  for (size_t b = 0; b < out.size(); b += kBytes, x += 32) {
    float extreme = 0;
    for (size_t j = 0; j < 32; ++j) {
      if (std::fabs(x[j]) > std::fabs(extreme)) extreme = x[j];
    }
    const float scale = extreme / -16;
    const float inverse = scale != 0 ? 1 / scale : 0;
    StoreAs<uint16_t>(&out[b], F32ToF16(scale));
    uint32_t fifth = 0;
    for (size_t j = 0; j < 16; ++j) {
      const auto low = static_cast<uint32_t>(FloorCode(x[j] * inverse + 16.5f, 31));
      const auto high = static_cast<uint32_t>(FloorCode(x[j + 16] * inverse + 16.5f, 31));
      StoreAs<uint8_t>(&out[b + 6 + j], static_cast<uint8_t>((low & 15) | ((high & 15) << 4)));
      fifth |= (low >> 4) << j | (high >> 4) << (j + 16);
    }
    StoreAs<uint32_t>(&out[b + 2], fifth);
  }
}

}  // namespace retort::codec
