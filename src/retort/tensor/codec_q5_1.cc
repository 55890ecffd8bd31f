#include <algorithm>

#include "retort/tensor/codecs.h"
#include "retort/tensor/float_bits.h"

// Q5_1: f16 scale d, f16 minimum m, u32 fifth bits, nibbles as in Q4_0. Value: q·d + m.
namespace retort::codec {
namespace {
constexpr size_t kBytes = 24;
}  // namespace

void DecodeQ5_1(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += kBytes, y += 32) {
    const float scale = F16ToF32(LoadAs<uint16_t>(&blocks[b]));
    const float minimum = F16ToF32(LoadAs<uint16_t>(&blocks[b + 2]));
    const uint32_t fifth = LoadAs<uint32_t>(&blocks[b + 4]);
    for (size_t j = 0; j < 16; ++j) {
      const int code = LoadAs<uint8_t>(&blocks[b + 8 + j]);
      const int low = (code & 15) | static_cast<int>((fifth >> j) & 1) << 4;
      const int high = (code >> 4) | static_cast<int>((fifth >> (j + 16)) & 1) << 4;
      y[j] = static_cast<float>(low) * scale + minimum;
      y[j + 16] = static_cast<float>(high) * scale + minimum;
    }
  }
}

void EncodeQ5_1(std::span<const float> values, std::span<std::byte> out) {
  const float* x = values.data();
  for (size_t b = 0; b < out.size(); b += kBytes, x += 32) {
    const auto [lowest, highest] = std::minmax_element(x, x + 32);
    const float minimum = *lowest;
    const float scale = (*highest - minimum) / 31;
    const float inverse = scale != 0 ? 1 / scale : 0;
    StoreAs<uint16_t>(&out[b], F32ToF16(scale));
    StoreAs<uint16_t>(&out[b + 2], F32ToF16(minimum));
    uint32_t fifth = 0;
    for (size_t j = 0; j < 16; ++j) {
      const auto low = static_cast<uint32_t>(FloorCode((x[j] - minimum) * inverse + 0.5f, 31));
      const auto high =
          static_cast<uint32_t>(FloorCode((x[j + 16] - minimum) * inverse + 0.5f, 31));
      StoreAs<uint8_t>(&out[b + 8 + j], static_cast<uint8_t>((low & 15) | ((high & 15) << 4)));
      fifth |= (low >> 4) << j | (high >> 4) << (j + 16);
    }
    StoreAs<uint32_t>(&out[b + 4], fifth);
  }
}

}  // namespace retort::codec
