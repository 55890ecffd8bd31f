#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "retort/backend/cpu/dispatch.h"
#include "retort/backend/cpu/rope_table.h"
#include "retort/backend/device.h"
#include "retort/base/host_memory.h"
#include "retort/base/thread_pool.h"

// Private to backend/cpu: the objects behind the contract's opaque types, and what every operation
// is handed.
namespace retort::cpu {

inline constexpr size_t kHugePageBytes = size_t{2} << 20;

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

// Memory that was allocated and will be written later: what the system calls free is so much less.
class MemoryPromise {
 public:
  MemoryPromise() = default;
  explicit MemoryPromise(size_t bytes);
  MemoryPromise(MemoryPromise&& other) noexcept : bytes_(std::exchange(other.bytes_, 0)) {}
  MemoryPromise& operator=(MemoryPromise&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MemoryPromise();

 private:
  size_t bytes_ = 0;
};

// The host's, less what this process has promised.
HostMemory UnpromisedMemory();

// Has the system provide the pages of [begin, begin + num_bytes) at once, for writing, rather than
// one by one as they are touched. May do nothing.
void ProvidePages(std::byte* begin, size_t num_bytes);
// The same for bytes to read, which may lie in a mapped file.
void ProvidePages(const std::byte* begin, size_t num_bytes);

class CpuBuffer : public Buffer {
 public:
  explicit CpuBuffer(std::shared_ptr<const AlignedBytes> bytes) : bytes_(std::move(bytes)) {}
  size_t size_bytes() const override { return bytes_->size(); }
  float* values() const { return bytes_->As<float>(); }

 private:
  std::shared_ptr<const AlignedBytes> bytes_;
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
  std::vector<int32_t> sequence_of;  // [T]
  mutable RopeTables rope_tables;    // filled by the first layer of a step
  int64_t num_tokens_max = 0;
  int64_t num_sequences_max = 0;
  int32_t page_stride_max = 0;
};

// What every operation computes with.
struct Context {
  ThreadPool& pool;
  DispatchLevel level;
};

}  // namespace retort::cpu
