#include "retort/backend/cpu/kv_cache.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "retort/backend/cpu/code_limits.h"
#include "retort/base/error.h"
#include "retort/tensor/float_bits.h"

namespace retort::cpu {
namespace {

size_t ValueBytes(Format format) {
  if (format == Format::kI8) return 1;
  return format == Format::kF32 ? sizeof(float) : 2;
}

bool IsInt16(const KvSpec& spec, const VectorKernels& kernels) {
  return kernels.store_int16 != nullptr && spec.format == Format::kBF16 &&
         IsInt16Head(spec.head_dim);
}

size_t ScaleBytes(const KvSpec& spec, const VectorKernels& kernels) {
  const bool has_scales = spec.format == Format::kI8 || IsInt16(spec, kernels);
  return has_scales ? kPageTokens * sizeof(float) : 0;
}

size_t KeyMatrixBytes(const KvSpec& spec, const VectorKernels& kernels) {
  return static_cast<size_t>(spec.head_dim) * kPageTokens * ValueBytes(spec.format) +
         ScaleBytes(spec, kernels);
}

size_t ValueMatrixBytes(const KvSpec& spec, const VectorKernels& kernels) {
  return static_cast<size_t>(PaddedHeadDim(spec.head_dim)) * kPageTokens * ValueBytes(spec.format) +
         ScaleBytes(spec, kernels);
}

// Stores `count` values `stride` apart, rounded by kRound.
template <typename T, T (*kRound)(float)>
void StoreStrided(const float* from, int64_t count, T* to, int64_t stride) {
  for (int64_t i = 0; i < count; ++i) to[i * stride] = kRound(from[i]);
}

float Keep(float value) { return value; }

template <typename T, T (*kRound)(float)>
void StorePlain(const float* key, const float* value, int64_t head_dim, int token, std::byte* keys,
                std::byte* values) {
  StoreStrided<T, kRound>(key, head_dim, reinterpret_cast<T*>(keys) + token, kPageTokens);
  StoreStrided<T, kRound>(value, head_dim,
                          reinterpret_cast<T*>(values) + token * PaddedHeadDim(head_dim), 1);
}

void StorePaired(const float* key, const float* value, int64_t head_dim, int token, std::byte* keys,
                 std::byte* values) {
  auto* key_pairs = reinterpret_cast<uint32_t*>(keys);
  for (int64_t pair = 0; pair < head_dim / 2; ++pair) {
    key_pairs[pair * kPageTokens + token] =
        F32ToBF16(key[2 * pair]) | static_cast<uint32_t>(F32ToBF16(key[2 * pair + 1])) << 16;
  }
  const int64_t first = PagedIndex(true, PaddedHeadDim(head_dim), token, 0);
  StoreStrided<uint16_t, F32ToBF16>(value, head_dim, reinterpret_cast<uint16_t*>(values) + first,
                                    2);
}

// To codes at out[place_of(i)]. Returns the scale.
template <typename PlaceOf>
float StoreCodes(const float* from, int64_t count, int8_t* out, const PlaceOf& place_of) {
  uint32_t bits = 0;  // as integers: what is no number is the largest
  for (int64_t i = 0; i < count; ++i) {
    bits = std::max(bits, std::bit_cast<uint32_t>(from[i]) & 0x7fffffff);
  }
  const auto largest = std::bit_cast<float>(bits);
  const float inverse =
      largest >= kSmallestMagnitude && std::isfinite(largest) ? 127.0f / largest : 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    const float code = inverse > 0 ? std::nearbyint(from[i] * inverse) : 0.0f;
    out[place_of(i)] = static_cast<int8_t>(code);
  }
  return largest < kSmallestMagnitude ? 0.0f : largest / 127.0f;
}

void StoreInt8(const float* key, const float* value, int head_dim, int token, std::byte* keys,
               std::byte* values) {
  const int64_t cols = PaddedHeadDim(head_dim);
  const float key_scale =
      StoreCodes(key, head_dim, reinterpret_cast<int8_t*>(keys),
                 [&](int64_t d) { return PagedIndex(true, kPageTokens, d, token); });
  const float value_scale = StoreCodes(value, head_dim, reinterpret_cast<int8_t*>(values),
                                       [&](int64_t d) { return PagedIndex(true, cols, token, d); });
  StoreAs<float>(keys + head_dim * kPageTokens + token * sizeof(float), key_scale);
  StoreAs<float>(values + cols * kPageTokens + token * sizeof(float), value_scale);
}

}  // namespace

size_t CpuKvCache::PageBytes(const KvSpec& spec, const VectorKernels& kernels) {
  if (spec.head_dim % 2 != 0 || spec.head_dim > kHeadDimMax) {
    Throw(ErrorCode::kUnsupported, "cpu: head dim {}; expected an even number up to {}",
          spec.head_dim, kHeadDimMax);
  }
  return static_cast<size_t>(spec.num_layers) * static_cast<size_t>(spec.num_kv_heads) *
         (KeyMatrixBytes(spec, kernels) + ValueMatrixBytes(spec, kernels));
}

CpuKvCache::CpuKvCache(const KvSpec& spec, const VectorKernels& kernels)
    : spec_(spec),
      kernels_(kernels),
      key_bytes_(KeyMatrixBytes(spec, kernels)),
      value_bytes_(ValueMatrixBytes(spec, kernels)),
      page_bytes_(PageBytes(spec, kernels)),
      bytes_(page_bytes_ * static_cast<size_t>(spec.num_pages)) {}

void CpuKvCache::Store(int32_t page, int layer, int kv_head, int token, const float* key,
                       const float* value) const {
  std::byte* keys = Keys(page, layer, kv_head);
  std::byte* values = Values(page, layer, kv_head);
  const bool is_vector_head = spec_.head_dim % 32 == 0;
  if (spec_.format == Format::kI8) {
    const bool has_kernel = kernels_.store_int8 != nullptr && is_vector_head;
    const auto store = has_kernel ? kernels_.store_int8 : StoreInt8;
    store(key, value, spec_.head_dim, token, keys, values);
  } else if (IsInt16(spec_, kernels_)) {
    kernels_.store_int16(key, value, spec_.head_dim, token, keys, values);
  } else if (is_paired() && kernels_.store_paired != nullptr && is_vector_head) {
    kernels_.store_paired(key, value, spec_.head_dim, token, reinterpret_cast<uint16_t*>(keys),
                          reinterpret_cast<uint16_t*>(values));
  } else if (is_paired()) {
    StorePaired(key, value, spec_.head_dim, token, keys, values);
  } else if (spec_.format == Format::kF16) {
    StorePlain<uint16_t, F32ToF16>(key, value, spec_.head_dim, token, keys, values);
  } else {
    StorePlain<float, Keep>(key, value, spec_.head_dim, token, keys, values);
  }
}

void CpuKvCache::CopyPage(int32_t from_page, int32_t to_page) const {
  std::memcpy(bytes_.data() + static_cast<size_t>(to_page) * page_bytes_,
              bytes_.data() + static_cast<size_t>(from_page) * page_bytes_, page_bytes_);
}

}  // namespace retort::cpu
