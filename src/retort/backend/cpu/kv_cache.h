#pragma once

#include <cstddef>
#include <cstdint>

#include "retort/backend/cpu/cpu_memory.h"
#include "retort/backend/cpu/vector_kernels.h"
#include "retort/backend/device.h"

// Private to backend/cpu.
namespace retort::cpu {

// Pages of [layer][G][keys, values]; one head's keys are [D, kPageTokens] and its values
// [kPageTokens, PaddedHeadDim(D)], both as vector_kernels.h says: 32 keys of one dimension, or 16
// dimensions of one value, load as whole vectors, and in bf16 and integers pairs lie as
// products want them.
class CpuKvCache : public KvCache {
 public:
  // Throws Error{kUnsupported} for an odd head_dim or one above kHeadDimMax, {kExhausted}.
  CpuKvCache(const KvSpec& spec, const VectorKernels& kernels);
  static size_t PageBytes(const KvSpec& spec, const VectorKernels& kernels);

  const KvSpec& spec() const override { return spec_; }
  size_t size_bytes() const override { return bytes_.size(); }

  bool is_paired() const { return spec_.format == Format::kBF16; }
  std::byte* Keys(int32_t page, int layer, int kv_head) const {
    return bytes_.data() + static_cast<size_t>(page) * page_bytes_ +
           static_cast<size_t>(layer * spec_.num_kv_heads + kv_head) * (key_bytes_ + value_bytes_);
  }
  std::byte* Values(int32_t page, int layer, int kv_head) const {
    return Keys(page, layer, kv_head) + key_bytes_;
  }
  size_t page_bytes() const { return page_bytes_; }

  // Writes one token's key and value [D] of one head, rounded to the cache's format.
  void Store(int32_t page, int layer, int kv_head, int token, const float* key,
             const float* value) const;
  // Copies a whole page: what lies beyond the tokens that are wanted is nobody's.
  void CopyPage(int32_t from_page, int32_t to_page) const;

 private:
  KvSpec spec_;
  const VectorKernels& kernels_;
  size_t key_bytes_ = 0;    // of one head of one page
  size_t value_bytes_ = 0;  // likewise
  size_t page_bytes_ = 0;
  AlignedBytes bytes_;
};

}  // namespace retort::cpu
