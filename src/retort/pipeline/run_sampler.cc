#include "retort/pipeline/run_sampler.h"

#include <fstream>
#include <sstream>
#include <string>

namespace retort {

ProcessMemory ReadProcessMemory() {
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream fields(line);
    std::string name;
    uint64_t kilobytes = 0;
    fields >> name >> kilobytes;
    if (name == "VmHWM:") memory.peak_rss = kilobytes << 10;
    if (name == "RssAnon:") memory.anonymous = kilobytes << 10;
  }
  return memory;
}

void ModelTrace::Add(const ModelStats& stats) {
  if (num_seen_++ % stride_ != 0) return;
  samples_.push_back(stats);
  if (samples_.size() < kSamplesMax) return;
  for (size_t i = 0; 2 * i < samples_.size(); ++i) samples_[i] = samples_[2 * i];
  samples_.resize((samples_.size() + 1) / 2);
  stride_ *= 2;
}

double ModelTrace::MeanSequencesUntil(double share) const {
  if (samples_.empty()) return 0;
  const ModelStats& last = samples_.back();
  const bool by_tokens = last.completion_tokens > 0;
  const auto done = [&](const ModelStats& stats) {
    return by_tokens ? stats.completion_tokens : stats.num_steps;
  };
  for (const ModelStats& sample : samples_) {
    if (sample.num_steps == 0) continue;
    if (static_cast<double>(done(sample)) < share * static_cast<double>(done(last))) continue;
    return static_cast<double>(sample.num_step_sequences) / static_cast<double>(sample.num_steps);
  }
  return 0;
}

Ticker::Ticker(std::chrono::milliseconds interval, std::function<void()> tick)
    : thread_([this, interval, tick = std::move(tick)] {
        std::unique_lock lock(mutex_);
        while (!wake_.wait_for(lock, interval, [this] { return ending_; })) {
          lock.unlock();
          tick();
          lock.lock();
        }
      }) {}

Ticker::~Ticker() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

}  // namespace retort
