#include "retort/backend/cpu/cpu_memory.h"

#include <sys/mman.h>

#include <cstdlib>

#include "retort/base/error.h"
#include "retort/base/host_memory.h"

namespace retort::cpu {
namespace {

constexpr size_t kCacheLineBytes = 64;
// Below this an allocation is not compared with the free memory: asking costs more than it is
// worth.
constexpr size_t kCheckedBytes = size_t{16} << 20;

}  // namespace

AlignedBytes::AlignedBytes(size_t bytes, HugePages when) : size_(bytes) {
  if (bytes == 0) return;
  if (bytes >= kCheckedBytes) {
    const HostMemory memory = ReadHostMemory();
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
          ReadHostMemory().free_bytes);
  }
#if defined(MADV_HUGEPAGE)
  if (bytes >= kHugePageBytes && when == HugePages::kNow)
    madvise(data, rounded / kHugePageBytes * kHugePageBytes, MADV_HUGEPAGE);
#endif
  data_.reset(static_cast<std::byte*>(data));
}

void AlignedBytes::Free::operator()(std::byte* data) const { std::free(data); }

}  // namespace retort::cpu
