#include <algorithm>
#include <cmath>

#include "retort/tensor/codecs.h"
#include "retort/tensor/float_bits.h"

// Q8_0: f16 scale d, int8 q[32]. Value: q·d. Encoding: d = max|x| / 127, q rounded half away.
namespace retort::codec {
namespace {
constexpr size_t kValues = 32;
constexpr size_t kBytes = 34;
}  // namespace

void DecodeQ8_0(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += kBytes, y += kValues) {
    const float scale = F16ToF32(LoadAs<uint16_t>(&blocks[b]));
    const std::byte* codes = &blocks[b + 2];
    for (size_t j = 0; j < kValues; ++j)
      y[j] = static_cast<float>(LoadAs<int8_t>(codes + j)) * scale;
  }
}

void EncodeQ8_0(std::span<const float> values, std::span<std::byte> out) {
  const float* x = values.data();
  for (size_t b = 0; b < out.size(); b += kBytes, x += kValues) {
    float magnitude = 0;
    for (size_t j = 0; j < kValues; ++j) magnitude = std::max(magnitude, std::fabs(x[j]));
    const float scale = magnitude / 127;
    const float inverse = scale != 0 ? 1 / scale : 0;
    StoreAs<uint16_t>(&out[b], F32ToF16(scale));
    for (size_t j = 0; j < kValues; ++j) {
      const float code = std::clamp(std::round(x[j] * inverse), -127.0f, 127.0f);
      StoreAs<int8_t>(&out[b + 2 + j], std::isnan(code) ? 0 : static_cast<int8_t>(code));
    }
  }
}

}  // namespace retort::codec
