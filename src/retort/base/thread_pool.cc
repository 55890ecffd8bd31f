#include "retort/base/thread_pool.h"

#include <algorithm>
#include <limits>

#include "retort/base/error.h"

namespace retort {
namespace {

// How often a thread looks for work, one pause apart (40 to 140 cycles on x86), before it sleeps:
// some 50 to 100 microseconds, longer than the gap between two loops of a decode step and too short
// to matter to anyone who waits for the core.
constexpr int kSpinsBeforeSleep = 2000;

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void End(std::atomic<bool>& stop, std::atomic<uint32_t>& epoch, std::vector<std::thread>& workers) {
  stop.store(true, std::memory_order_release);
  epoch.fetch_add(1, std::memory_order_release);
  epoch.notify_all();
  for (std::thread& worker : workers) worker.join();
}

}  // namespace

ThreadPool::ThreadPool(int num_threads) {
  if (num_threads < 1 || num_threads > kNumThreadsMax) {
    Throw(ErrorCode::kInvalid, "number of threads: expected 1 to {}, found {}", kNumThreadsMax,
          num_threads);
  }
  workers_.reserve(static_cast<size_t>(num_threads - 1));
  try {
    for (int thread = 1; thread < num_threads; ++thread) {
      workers_.emplace_back([this, thread] { WorkerMain(thread); });
    }
  } catch (...) {
    End(stop_, epoch_, workers_);
    throw;
  }
}

ThreadPool::~ThreadPool() { End(stop_, epoch_, workers_); }

void ThreadPool::Run(int64_t num_chunks, Call call) {
  // Loops longer than the counter are cut; nothing real is.
  constexpr int64_t kChunksMax = std::numeric_limits<uint32_t>::max();
  if (num_chunks > kChunksMax) {
    Throw(ErrorCode::kInternal, "a loop of {} chunks: at most {} are possible", num_chunks,
          kChunksMax);
  }
  if (num_chunks <= 0) return;
  if (num_chunks == 1 || workers_.empty()) {
    for (int64_t chunk = 0; chunk < num_chunks; ++chunk) call.invoke(call.context, chunk, 0);
    return;
  }
  RunChunks(static_cast<uint32_t>(num_chunks), call);
}

void ThreadPool::RunChunks(uint32_t num_chunks, Call call) {
  call_ = call;
  num_chunks_ = num_chunks;
  num_done_.store(0, std::memory_order_relaxed);
  failed_.store(false, std::memory_order_relaxed);
  unclaimed_.store(num_chunks, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();

  Work(0);

  for (int spins = 0;;) {
    const uint32_t done = num_done_.load(std::memory_order_acquire);
    if (done == num_chunks) break;
    if (++spins < kSpinsBeforeSleep) {
      Pause();
    } else {
      num_done_.wait(done, std::memory_order_acquire);
    }
  }
  if (failed_.load(std::memory_order_relaxed)) {
    std::exception_ptr exception;
    {
      std::lock_guard lock(exception_mutex_);
      std::swap(exception, exception_);
    }
    std::rethrow_exception(exception);
  }
}

void ThreadPool::Work(int thread) {
  uint32_t unclaimed = unclaimed_.load(std::memory_order_relaxed);
  while (unclaimed != 0) {
    if (!unclaimed_.compare_exchange_weak(unclaimed, unclaimed - 1, std::memory_order_acquire,
                                          std::memory_order_relaxed)) {
      continue;
    }
    const uint32_t num_chunks = num_chunks_;
    if (!failed_.load(std::memory_order_relaxed)) {
      try {
        call_.invoke(call_.context, num_chunks - unclaimed, thread);
      } catch (...) {
        KeepException();
      }
    }
    if (num_done_.fetch_add(1, std::memory_order_acq_rel) + 1 == num_chunks) {
      num_done_.notify_one();
    }
    unclaimed = unclaimed_.load(std::memory_order_relaxed);
  }
}

void ThreadPool::KeepException() {
  std::lock_guard lock(exception_mutex_);
  if (!exception_) exception_ = std::current_exception();
  failed_.store(true, std::memory_order_relaxed);
}

void ThreadPool::WorkerMain(int thread) {
  while (true) {
    const uint32_t epoch = epoch_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_acquire)) return;
    Work(thread);
    for (int spins = 0; spins < kSpinsBeforeSleep; ++spins) {
      if (epoch_.load(std::memory_order_relaxed) != epoch) break;
      Pause();
    }
    epoch_.wait(epoch, std::memory_order_acquire);
  }
}

}  // namespace retort
