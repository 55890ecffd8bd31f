#include <algorithm>

#include "retort/tensor/codecs.h"
#include "retort/tensor/float_bits.h"

// Q4_1: f16 scale d, f16 minimum m, 16 bytes of nibbles as in Q4_0. Value: q·d + m.
namespace retort::codec {
namespace {
constexpr size_t kBytes = 20;
}  // namespace

void DecodeQ4_1(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += kBytes, y += 32) {
    const float scale = F16ToF32(LoadAs<uint16_t>(&blocks[b]));
    const float minimum = F16ToF32(LoadAs<uint16_t>(&blocks[b + 2]));
    for (size_t j = 0; j < 16; ++j) {
      const int code = LoadAs<uint8_t>(&blocks[b + 4 + j]);
      y[j] = static_cast<float>(code & 15) * scale + minimum;
      y[j + 16] = static_cast<float>(code >> 4) * scale + minimum;
    }
  }
}

void EncodeQ4_1(std::span<const float> values, std::span<std::byte> out) {
  const float* x = values.data();
  for (size_t b = 0; b < out.size(); b += kBytes, x += 32) {
    const auto [lowest, highest] = std::minmax_element(x, x + 32);
    const float minimum = *lowest;
    const float scale = (*highest - minimum) / 15;
    const float inverse = scale != 0 ? 1 / scale : 0;
    StoreAs<uint16_t>(&out[b], F32ToF16(scale));
    StoreAs<uint16_t>(&out[b + 2], F32ToF16(minimum));
    for (size_t j = 0; j < 16; ++j) {
      const int low = FloorCode((x[j] - minimum) * inverse + 0.5f, 15);
      const int high = FloorCode((x[j + 16] - minimum) * inverse + 0.5f, 15);
      StoreAs<uint8_t>(&out[b + 4 + j], static_cast<uint8_t>(low | (high << 4)));
    }
  }
}

}  // namespace retort::codec
