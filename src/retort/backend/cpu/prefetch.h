#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

// Private to backend/cpu: asking memory for what will be worked on.
namespace retort::cpu {

inline constexpr size_t kCacheLineBytes = 64;

// Asks for the lines of [begin, end), into the L2 cache. Returns where the next line would be.
inline const std::byte* Prefetch(const std::byte* begin, const std::byte* end) {
  for (; begin < end; begin += kCacheLineBytes) __builtin_prefetch(begin, 0, 2);
  return begin;
}

// Asks for bytes in even steps, so that memory answers while others are worked on: many requests at
// once would be waited for.
class SteadyPrefetch {
 public:
  SteadyPrefetch(std::span<const std::byte> bytes, int64_t num_steps)
      : next_(bytes.data()),
        end_(next_),
        step_bytes_((static_cast<int64_t>(bytes.size()) + num_steps - 1) / num_steps) {}

  void Step() {
    end_ += step_bytes_;
    next_ = Prefetch(next_, end_);
  }

 private:
  const std::byte* next_;
  const std::byte* end_;  // of this step
  int64_t step_bytes_;
};

}  // namespace retort::cpu
