#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace retort {

// Threads that share one loop at a time: the fork-join of kernels. Chunks are handed out one by one
// from an atomic counter and the caller works too, so a thread that the system has taken off its
// core costs the chunk it holds, never its whole share; a thread that has not woken costs nothing.
//
// Between loops a worker spins for a bounded time and then sleeps. No call allocates. One caller at
// a time; a loop's body must not start another loop on the same pool.
class ThreadPool {
 public:
  // `num_threads` counts the caller: num_threads - 1 threads are started. Throws Error{kInvalid}
  // unless 1 <= num_threads <= kNumThreadsMax.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  static constexpr int kNumThreadsMax = 1024;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(chunk, thread) once for each chunk in [0, num_chunks), in any order, on any thread;
  // `thread` is in [0, num_threads()) and no two calls running at the same time share it. Returns
  // when all are done. After an exception the chunks not yet begun are skipped and the first
  // exception is thrown here.
  template <typename Body>
  void ParallelFor(int64_t num_chunks, Body&& body) {
    using BodyType = std::remove_reference_t<Body>;
    Run(num_chunks, Call{const_cast<void*>(static_cast<const void*>(&body)),
                         [](void* context, int64_t chunk, int thread) {
                           (*static_cast<BodyType*>(context))(chunk, thread);
                         }});
  }

 private:
  struct Call {
    void* context = nullptr;
    void (*invoke)(void* context, int64_t chunk, int thread) = nullptr;
  };

  void Run(int64_t num_chunks, Call call);
  void RunChunks(uint32_t num_chunks, Call call);
  // Claims and runs chunks of the current loop until none is left.
  void Work(int thread);
  void WorkerMain(int thread);
  void KeepException();

  std::vector<std::thread> workers_;

  // The current loop. Written by the caller before it publishes `unclaimed_`; read by a thread only
  // while it holds a chunk, which keeps the loop from ending.
  Call call_;
  uint32_t num_chunks_ = 0;

  // Chunks not yet claimed. A thread claims by a successful decrement, so it never touches a loop
  // that is over.
  alignas(64) std::atomic<uint32_t> unclaimed_{0};
  alignas(64) std::atomic<uint32_t> num_done_{0};
  // Grows with every loop and at the end; what sleeping workers wait on.
  alignas(64) std::atomic<uint32_t> epoch_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> failed_{false};
  std::mutex exception_mutex_;
  std::exception_ptr exception_;
};

}  // namespace retort
