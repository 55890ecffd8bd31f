#pragma once

#include <cstdint>
#include <mutex>

#include "retort/base/error.h"

namespace retort {

// Faults one after another, with no answer between, after which those who ask are told to stop. One
// fault of an engine fails every request that it was at work on: they count once, because all were
// asked before the first of them failed. Thread-safe.
inline constexpr int kFaultsInARowMax = 4;

class FaultStreak {
 public:
  // What to count a request with that is asked now.
  uint64_t Mark() const {
    std::lock_guard lock(mutex_);
    return num_faults_;
  }

  // An answer, or a fault, of a request asked at `mark`. False: there were too many.
  bool Count(uint64_t mark, bool fault) {
    std::lock_guard lock(mutex_);
    if (!fault) {
      num_in_a_row_ = 0;
    } else if (mark == num_faults_) {
      ++num_faults_;
      ++num_in_a_row_;
    }
    return num_in_a_row_ < kFaultsInARowMax;
  }

 private:
  mutable std::mutex mutex_;
  uint64_t num_faults_ = 0;
  int num_in_a_row_ = 0;
};

// Whether a request failed by its model's fault, not by its own.
inline bool IsModelFault(ErrorCode code) {
  return code == ErrorCode::kInternal || code == ErrorCode::kIo || code == ErrorCode::kCorrupt;
}

}  // namespace retort
