#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "retort/backend/cpu/dispatch.h"
#include "retort/backend/device.h"
#include "retort/base/thread_pool.h"

// Private to backend/cpu: the objects behind the contract's opaque types, and what every operation
// is handed.
namespace retort::cpu {

// Bytes aligned for any kernel; large blocks ask the system for huge pages. Uninitialised.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  // Throws Error{kExhausted} with the bytes asked and free.
  explicit AlignedBytes(size_t bytes);

  std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  template <typename T>
  T* As(size_t byte_offset = 0) const {
    return reinterpret_cast<T*>(data_.get() + byte_offset);
  }

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

class CpuBuffer : public Buffer {
 public:
  explicit CpuBuffer(size_t bytes) : bytes_(bytes) {}
  size_t size_bytes() const override { return bytes_.size(); }
  float* values() const { return bytes_.As<float>(); }

 private:
  AlignedBytes bytes_;
};

// A checked view: row r is at data + r · stride.
struct Rows {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  float* Row(int64_t row) const { return data + row * stride; }
};

inline Rows ToRows(const Matrix& matrix) {
  return {static_cast<CpuBuffer*>(matrix.buffer)->values() + matrix.offset, matrix.rows,
          matrix.cols, matrix.stride};
}

struct CpuBatch : DeviceBatch {
  BatchPlan plan;
  int64_t num_tokens_max = 0;
  int64_t num_sequences_max = 0;
  int32_t page_stride_max = 0;
};

// Pages of [layer][K, V][G][kPageTokens][D] values in the spec's format.
class CpuKvCache : public KvCache {
 public:
  explicit CpuKvCache(const KvSpec& spec) : spec_(spec), bytes_(PageBytes(spec) * spec.num_pages) {}

  const KvSpec& spec() const override { return spec_; }
  size_t size_bytes() const override { return bytes_.size(); }

  static size_t PageBytes(const KvSpec& spec) {
    return static_cast<size_t>(spec.num_layers) * 2 * HeadPageBytes(spec) * spec.num_kv_heads;
  }
  // One head's keys (or values) of one page: [kPageTokens][D].
  static size_t HeadPageBytes(const KvSpec& spec) {
    return static_cast<size_t>(spec.head_dim) * kPageTokens * (spec.format == Format::kF32 ? 4 : 2);
  }
  std::byte* HeadPage(int32_t page, int layer, bool is_value, int kv_head) const {
    const size_t index = (static_cast<size_t>(layer) * 2 + (is_value ? 1 : 0)) *
                             static_cast<size_t>(spec_.num_kv_heads) +
                         static_cast<size_t>(kv_head);
    return bytes_.data() + static_cast<size_t>(page) * PageBytes(spec_) +
           index * HeadPageBytes(spec_);
  }

 private:
  KvSpec spec_;
  AlignedBytes bytes_;
};

// What every operation computes with.
struct Context {
  ThreadPool& pool;
  DispatchLevel level;
};

}  // namespace retort::cpu
