#include "retort/backend/cpu/cpu_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "retort/backend/cpu/prefetch.h"
#include "retort/base/error.h"

// Values of the Linux interface that the C library may be too old to name.
#if !defined(MADV_POPULATE_READ)
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

namespace retort::cpu {
namespace {

// Below this an allocation is not compared with the free memory: asking costs more than it is
// worth.
constexpr size_t kCheckedBytes = size_t{16} << 20;

std::atomic<size_t> promised_bytes = 0;

void Provide(const std::byte* begin, size_t num_bytes, int advice) {
#if defined(__linux__)
  static const auto page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t in_page = reinterpret_cast<uintptr_t>(begin) % page_bytes;
  madvise(const_cast<std::byte*>(begin) - in_page, num_bytes + in_page, advice);
#endif
}

}  // namespace

AlignedBytes::AlignedBytes(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  if (bytes >= kCheckedBytes) {
    const HostMemory memory = UnpromisedMemory();
    if (memory.total_bytes > 0 && bytes > memory.free_bytes) {
      Throw(ErrorCode::kExhausted, "cpu: {} bytes of memory asked, {} of {} are free", bytes,
            memory.free_bytes, memory.total_bytes);
    }
  }
  const size_t alignment = bytes >= kHugePageBytes ? kHugePageBytes : kCacheLineBytes;
  const size_t rounded = (bytes + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes;
  void* data = nullptr;
  if (rounded < bytes || posix_memalign(&data, alignment, rounded) != 0) {
    Throw(ErrorCode::kExhausted, "cpu: {} bytes of memory asked, {} are free", bytes,
          UnpromisedMemory().free_bytes);
  }
#if defined(MADV_HUGEPAGE)
  if (bytes >= kHugePageBytes) {
    madvise(data, rounded / kHugePageBytes * kHugePageBytes, MADV_HUGEPAGE);
  }
#endif
  data_.reset(static_cast<std::byte*>(data));
}

void AlignedBytes::Free::operator()(std::byte* data) const { std::free(data); }

MemoryPromise::MemoryPromise(size_t bytes) : bytes_(bytes) { promised_bytes += bytes; }

MemoryPromise::~MemoryPromise() { promised_bytes -= bytes_; }

HostMemory UnpromisedMemory() {
  HostMemory memory = ReadHostMemory();
  memory.free_bytes -= std::min<uint64_t>(memory.free_bytes, promised_bytes);
  return memory;
}

void ProvidePages(std::byte* begin, size_t num_bytes) {
  Provide(begin, num_bytes, MADV_POPULATE_WRITE);
}

void ProvidePages(const std::byte* begin, size_t num_bytes) {
  Provide(begin, num_bytes, MADV_POPULATE_READ);
}

}  // namespace retort::cpu
