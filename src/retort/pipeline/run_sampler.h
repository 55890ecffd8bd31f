#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace retort {

// Memory of this process, in bytes, from /proc/self/status; 0 where there is none.
struct ProcessMemory {
  uint64_t peak_rss = 0;   // VmHWM
  uint64_t anonymous = 0;  // RssAnon, now
};
ProcessMemory ReadProcessMemory();

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
