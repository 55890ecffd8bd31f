#include "retort/tensor/codecs.h"
#include "retort/tensor/float_bits.h"

// One value per block. F32, F16, BF16 and FP8 widen exactly; F64 rounds to nearest.
namespace retort::codec {
namespace {

template <typename Stored, typename Widen>
void Map(std::span<const std::byte> blocks, std::span<float> out, Widen widen) {
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = widen(LoadAs<Stored>(&blocks[i * sizeof(Stored)]));
  }
}

template <typename Stored, typename Narrow>
void MapBack(std::span<const float> values, std::span<std::byte> out, Narrow narrow) {
  for (size_t i = 0; i < values.size(); ++i) {
    StoreAs<Stored>(&out[i * sizeof(Stored)], narrow(values[i]));
  }
}

}  // namespace

void DecodeF32(std::span<const std::byte> blocks, std::span<float> out) {
  if (!out.empty()) std::memcpy(out.data(), blocks.data(), blocks.size());
}
void DecodeF16(std::span<const std::byte> blocks, std::span<float> out) {
  Map<uint16_t>(blocks, out, F16ToF32);
}
void DecodeBF16(std::span<const std::byte> blocks, std::span<float> out) {
  Map<uint16_t>(blocks, out, BF16ToF32);
}
void DecodeF64(std::span<const std::byte> blocks, std::span<float> out) {
  // Conversion of a double beyond float's range is undefined in C++ unless it is an infinity's.
  Map<double>(blocks, out, [](double value) {
    constexpr double kRoundsToInfinity = 0x1.ffffffp127;
    if (value >= kRoundsToInfinity) return __builtin_inff();
    if (value <= -kRoundsToInfinity) return -__builtin_inff();
    return static_cast<float>(value);
  });
}
void DecodeF8E4M3(std::span<const std::byte> blocks, std::span<float> out) {
  Map<uint8_t>(blocks, out, F8E4M3ToF32);
}
void DecodeF8E5M2(std::span<const std::byte> blocks, std::span<float> out) {
  Map<uint8_t>(blocks, out, F8E5M2ToF32);
}

void EncodeF32(std::span<const float> values, std::span<std::byte> out) {
  if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
}
void EncodeF16(std::span<const float> values, std::span<std::byte> out) {
  MapBack<uint16_t>(values, out, F32ToF16);
}
void EncodeBF16(std::span<const float> values, std::span<std::byte> out) {
  MapBack<uint16_t>(values, out, F32ToBF16);
}

}  // namespace retort::codec
