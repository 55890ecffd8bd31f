#include "retort/backend/cpu/late_huge_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

// Values of the Linux interface that the C library may be too old to name.
#if !defined(MADV_POPULATE_READ)
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#if !defined(MADV_COLLAPSE)
#define MADV_COLLAPSE 25
#endif

namespace retort::cpu {
namespace {

// Asked of no bytes at all, the system says whether it knows how.
bool CanMove() {
#if defined(__linux__)
  return madvise(nullptr, 0, MADV_COLLAPSE) == 0;
#else
  return false;
#endif
}

void Move(const std::stop_token& stop,
          const std::vector<std::weak_ptr<const AlignedBytes>>& blocks) {
#if defined(__linux__)
  for (const auto& weak : blocks) {
    const auto block = weak.lock();
    if (block == nullptr) continue;
    const size_t end = block->size() / kHugePageBytes * kHugePageBytes;
    madvise(block->data(), end, MADV_HUGEPAGE);
    for (size_t at = 0; at < end && !stop.stop_requested(); at += kHugePageBytes) {
      madvise(block->data() + at, kHugePageBytes, MADV_COLLAPSE);
    }
  }
#endif
}

void Provide(const std::byte* begin, size_t num_bytes, int advice) {
#if defined(__linux__)
  static const auto page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t first = reinterpret_cast<uintptr_t>(begin) / page_bytes * page_bytes;
  const uintptr_t end = reinterpret_cast<uintptr_t>(begin) + num_bytes;
  madvise(reinterpret_cast<void*>(first), end - first, advice);
#endif
}

}  // namespace

LateHugePages::LateHugePages(bool late) : late_(late && CanMove()) {}

std::shared_ptr<AlignedBytes> LateHugePages::Allocate(size_t bytes) {
  using enum AlignedBytes::HugePages;
  auto block = std::make_shared<AlignedBytes>(bytes, late_ ? kLater : kNow);
  if (late_ && bytes >= kHugePageBytes) blocks_.push_back(block);
  return block;
}

void LateHugePages::Start() {
  if (!late_) return;
  late_ = false;
  thread_ = std::jthread(
      [blocks = std::move(blocks_)](const std::stop_token& stop) { Move(stop, blocks); });
}

void LateHugePages::Wait() {
  if (thread_.joinable()) thread_.join();
}

void ProvidePages(std::byte* begin, size_t num_bytes) {
  Provide(begin, num_bytes, MADV_POPULATE_WRITE);
}

void ProvidePages(const std::byte* begin, size_t num_bytes) {
  Provide(begin, num_bytes, MADV_POPULATE_READ);
}

}  // namespace retort::cpu
