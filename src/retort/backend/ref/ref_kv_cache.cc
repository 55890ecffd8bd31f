#include <cmath>
#include <cstring>

#include "retort/backend/ref/ref_memory.h"
#include "retort/tensor/float_bits.h"

namespace retort::ref {
namespace {

// Of one head: in kI8 a scale, then the codes.
size_t HeadBytes(const KvSpec& spec) {
  const auto bytes = static_cast<size_t>(StoredBytes(spec.format, spec.head_dim));
  return spec.format == Format::kI8 ? sizeof(float) + bytes : bytes;
}

void EncodeInt8(std::span<const float> values, std::byte* to) {
  float largest = 0;
  for (const float value : values) {
    if (std::isnan(value)) largest = value;
    if (std::fabs(value) > largest) largest = std::fabs(value);  // never, once it is no number
  }
  StoreAs<float>(to, largest / 127);
  const float inverse = largest > 0 && std::isfinite(largest) ? 127 / largest : 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const float code = inverse > 0 ? std::nearbyint(values[i] * inverse) : 0;
    StoreAs<int8_t>(to + sizeof(float) + i, static_cast<int8_t>(code));
  }
}

void DecodeInt8(const std::byte* from, std::span<float> values) {
  const auto scale = LoadAs<float>(from);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = scale * static_cast<float>(LoadAs<int8_t>(from + sizeof(float) + i));
  }
}

}  // namespace

RefKvCache::RefKvCache(const KvSpec& spec)
    : spec_(spec),
      head_bytes_(HeadBytes(spec)),
      // All bits set is a NaN in each of the formats, or in the scale.
      bytes_(PageBytes(spec) * static_cast<size_t>(spec.num_pages), std::byte{0xff}) {}

size_t RefKvCache::PageBytes(const KvSpec& spec) {
  return 2 * static_cast<size_t>(spec.num_layers) * kPageTokens *
         static_cast<size_t>(spec.num_kv_heads) * HeadBytes(spec);
}

size_t RefKvCache::Offset(bool is_value, int32_t page, int layer, int token, int head) const {
  size_t index = static_cast<size_t>(page) * static_cast<size_t>(spec_.num_layers) +
                 static_cast<size_t>(layer);
  index = index * 2 + (is_value ? 1 : 0);
  index = index * kPageTokens + static_cast<size_t>(token);
  index = index * static_cast<size_t>(spec_.num_kv_heads) + static_cast<size_t>(head);
  return index * head_bytes_;
}

void RefKvCache::Write(bool is_value, int32_t page, int layer, int token, int head,
                       const float* from) {
  const std::span<std::byte> to(bytes_.data() + Offset(is_value, page, layer, token, head),
                                head_bytes_);
  const std::span<const float> values(from, static_cast<size_t>(spec_.head_dim));
  if (spec_.format == Format::kI8) return EncodeInt8(values, to.data());
  Encode(spec_.format, values, to);
}

void RefKvCache::Read(bool is_value, int32_t page, int layer, int token, int head,
                      float* to) const {
  const std::span<const std::byte> from(bytes_.data() + Offset(is_value, page, layer, token, head),
                                        head_bytes_);
  const std::span<float> values(to, static_cast<size_t>(spec_.head_dim));
  if (spec_.format == Format::kI8) return DecodeInt8(from.data(), values);
  Decode(spec_.format, from, values);
}

void RefKvCache::CopyPage(int32_t from_page, int32_t to_page, int num_tokens) {
  const size_t bytes =
      static_cast<size_t>(num_tokens) * static_cast<size_t>(spec_.num_kv_heads) * head_bytes_;
  for (int layer = 0; layer < spec_.num_layers; ++layer) {
    for (const bool is_value : {false, true}) {
      std::memcpy(bytes_.data() + Offset(is_value, to_page, layer, 0, 0),
                  bytes_.data() + Offset(is_value, from_page, layer, 0, 0), bytes);
    }
  }
}

}  // namespace retort::ref
