#pragma once

#include <cstddef>
#include <cstdint>

#include "retort/backend/cpu/group_layout.h"
#include "retort/backend/cpu/prefetch.h"

#define RETORT_INLINE __attribute__((always_inline)) inline

// Private to backend/cpu: for kernels that are compiled once per layout of a panel's groups, since
// those that compute where everything lies take a tenth longer.
namespace retort::cpu {

template <ScaleKind kKind>
constexpr bool kHasMin = kKind == ScaleKind::kHalfMin || kKind == ScaleKind::kSuperMin;

// The groups of a panel, one after the other.
template <ScaleKind kKind, int kBits>
class GroupWalk {
 public:
  RETORT_INLINE GroupWalk(const std::byte* panel, int64_t group)
      : record_(panel + static_cast<size_t>(group / kGroupsPerRecord) * kRecordBytes),
        header_(record_ + kRecordHeaderBytes +
                static_cast<size_t>(group % kGroupsPerRecord) * kGroupBytes) {}

  const std::byte* record() const { return record_; }
  const std::byte* header() const { return header_; }  // the group's
  const std::byte* planes() const { return header_ + kGroupHeaderBytes; }

  // Asks for as many bytes as a group has, far enough ahead for memory to answer while groups are
  // worked on, and near enough for the processor's own prefetching to have begun, which has more
  // requests under way.
  RETORT_INLINE void PrefetchAhead() const {
    constexpr size_t kPrefetchBytes = 2048;
#pragma GCC unroll 32
    for (size_t at = 0; at < kGroupBytes; at += kCacheLineBytes) {
      __builtin_prefetch(header_ + kPrefetchBytes + at, 0, 3);
    }
  }

  RETORT_INLINE void Advance() {
    header_ += kGroupBytes;
    if (kGroupsPerRecord == 1 || header_ == record_ + kRecordBytes) {
      record_ = header_;
      header_ += kRecordHeaderBytes;
    }
  }

 private:
  static constexpr GroupLayout kLayout{
      Format::kF32, kBits, 0,
      kKind,        0,     kKind == ScaleKind::kSuperMin || kKind == ScaleKind::kSuper16 ? 8 : 1};
  static constexpr int64_t kGroupsPerRecord = kLayout.groups_per_record;
  static constexpr size_t kRecordHeaderBytes = kLayout.record_header_bytes();
  static constexpr size_t kGroupHeaderBytes = kLayout.group_header_bytes();
  static constexpr size_t kGroupBytes = kLayout.group_bytes();
  static constexpr size_t kRecordBytes = kLayout.record_bytes();

  const std::byte* record_;
  const std::byte* header_;
};

// The instance of Make<scale kind, bits> for a layout: `Make` is a template of a struct with a
// member `value`.
template <template <ScaleKind, int> typename Make>
auto InstanceFor(const GroupLayout& layout) {
  using enum ScaleKind;
  switch (layout.scales) {
    case kHalf:
      if (layout.bits == 4) return Make<kHalf, 4>::value;
      return layout.bits == 5 ? Make<kHalf, 5>::value : Make<kHalf, 8>::value;
    case kHalfMin:
      return layout.bits == 4 ? Make<kHalfMin, 4>::value : Make<kHalfMin, 5>::value;
    case kSuperMin:
      return layout.bits == 4 ? Make<kSuperMin, 4>::value : Make<kSuperMin, 5>::value;
    default:
      return Make<kSuper16, 6>::value;
  }
}

}  // namespace retort::cpu
