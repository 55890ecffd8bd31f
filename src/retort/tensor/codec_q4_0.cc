#include <cmath>

#include "retort/tensor/codecs.h"
#include "retort/tensor/float_bits.h"

// Q4_0: f16 scale d, 16 bytes; value j is the low nibble of byte j, value j + 16 the high one.
// Value: (q - 8)·d. Encoding: the value of largest magnitude becomes exactly code 0 (-8·d).
namespace retort::codec {
namespace {
constexpr size_t kBytes = 18;
}  // namespace

void DecodeQ4_0(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += kBytes, y += 32) {
    const float scale = F16ToF32(LoadAs<uint16_t>(&blocks[b]));
    for (size_t j = 0; j < 16; ++j) {
      const int code = LoadAs<uint8_t>(&blocks[b + 2 + j]);
      y[j] = static_cast<float>((code & 15) - 8) * scale;
      y[j + 16] = static_cast<float>((code >> 4) - 8) * scale;
    }
  }
}

void EncodeQ4_0(std::span<const float> values, std::span<std::byte> out) {
  const float* x = values.data();
  for (size_t b = 0; b < out.size(); b += kBytes, x += 32) {
    float extreme = 0;
    for (size_t j = 0; j < 32; ++j) {
      if (std::fabs(x[j]) > std::fabs(extreme)) extreme = x[j];
    }
    const float scale = extreme / -8;
    const float inverse = scale != 0 ? 1 / scale : 0;
    StoreAs<uint16_t>(&out[b], F32ToF16(scale));
    for (size_t j = 0; j < 16; ++j) {
      const int low = FloorCode(x[j] * inverse + 8.5f, 15);
      const int high = FloorCode(x[j + 16] * inverse + 8.5f, 15);
      StoreAs<uint8_t>(&out[b + 2 + j], static_cast<uint8_t>(low | (high << 4)));
    }
  }
}

}  // namespace retort::codec
