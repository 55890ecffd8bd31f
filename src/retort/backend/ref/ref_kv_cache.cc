#include <cstring>

#include "retort/backend/ref/ref_memory.h"

namespace retort::ref {

RefKvCache::RefKvCache(const KvSpec& spec)
    : spec_(spec),
      head_bytes_(static_cast<size_t>(StoredBytes(spec.format, spec.head_dim))),
      // All bits set is a NaN in each of the three formats.
      bytes_(PageBytes(spec) * static_cast<size_t>(spec.num_pages), std::byte{0xff}) {}

size_t RefKvCache::PageBytes(const KvSpec& spec) {
  return 2 * static_cast<size_t>(spec.num_layers) * kPageTokens *
         static_cast<size_t>(spec.num_kv_heads) *
         static_cast<size_t>(StoredBytes(spec.format, spec.head_dim));
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
  Encode(spec_.format, {from, static_cast<size_t>(spec_.head_dim)}, to);
}

void RefKvCache::Read(bool is_value, int32_t page, int layer, int token, int head,
                      float* to) const {
  const std::span<const std::byte> from(bytes_.data() + Offset(is_value, page, layer, token, head),
                                        head_bytes_);
  Decode(spec_.format, from, {to, static_cast<size_t>(spec_.head_dim)});
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
