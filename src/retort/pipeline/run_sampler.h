#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "retort/llm/language_model.h"

namespace retort {

// Memory of this process, in bytes, from /proc/self/status; 0 where there is none.
struct ProcessMemory {
  uint64_t peak_rss = 0;   // VmHWM
  uint64_t anonymous = 0;  // RssAnon, now
};
ProcessMemory ReadProcessMemory();

// A model's counters over time, thinned out so that a long run takes no more memory than a short
// one.
class ModelTrace {
 public:
  void Add(const ModelStats& stats);
  // Mean sequences per engine step until `share` of the completion tokens were made; without
  // completions (embedding, scoring alone), of the steps.
  double MeanSequencesUntil(double share) const;

 private:
  static constexpr size_t kSamplesMax = 4096;
  std::vector<ModelStats> samples_;
  size_t stride_ = 1;  // of Add() calls kept
  size_t num_seen_ = 0;
};

// Calls a function now and then on a thread of its own, until destroyed.
class Ticker {
 public:
  Ticker(std::chrono::milliseconds interval, std::function<void()> tick);
  ~Ticker();

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace retort
