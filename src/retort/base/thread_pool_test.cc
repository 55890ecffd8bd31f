#include "retort/base/thread_pool.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "retort/base/error.h"

namespace retort {
namespace {

// How many more threads the system starts; negative: as many as one likes.
std::atomic<int> threads_left = -1;

}  // namespace
}  // namespace retort

// In place of the C library's: a system at its limit.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*run)(void*), void* argument) {
  static const auto real =
      reinterpret_cast<decltype(&pthread_create)>(::dlsym(RTLD_NEXT, "pthread_create"));
  if (retort::threads_left == 0) return EAGAIN;
  if (retort::threads_left > 0) --retort::threads_left;
  return real(thread, attributes, run, argument);
}

namespace retort {
namespace {

TEST(ThreadPool, AThreadThatIsNotStartedIsAClearError) {
  for (const int num_started : {0, 1, 3}) {
    threads_left = num_started;
    try {
      ThreadPool pool(8);
      ADD_FAILURE() << num_started;
    } catch (...) {
      const Error error = CurrentError();
      EXPECT_EQ(error.code(), ErrorCode::kExhausted);
      EXPECT_NE(error.message().find("starts no more threads"), std::string::npos);
    }
    EXPECT_EQ(threads_left, 0);
    threads_left = -1;
  }
}

TEST(ThreadPool, RunsEveryChunkOnce) {
  for (int num_threads : {1, 2, 3, 7}) {
    ThreadPool pool(num_threads);
    EXPECT_EQ(pool.num_threads(), num_threads);
    for (int64_t num_chunks : {0, 1, 2, 5, 64, 1000}) {
      std::vector<int> runs(static_cast<size_t>(num_chunks), 0);  // each chunk writes its own
      pool.ParallelFor(num_chunks, [&](int64_t chunk, int thread) {
        ASSERT_GE(thread, 0);
        ASSERT_LT(thread, num_threads);
        ++runs[static_cast<size_t>(chunk)];
      });
      EXPECT_EQ(std::accumulate(runs.begin(), runs.end(), int64_t{0}), num_chunks);
      for (int count : runs) EXPECT_EQ(count, 1);
    }
  }
}

TEST(ThreadPool, ThreadNumbersAreExclusive) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<int> shared{0};
  for (int loop = 0; loop < 100; ++loop) {
    pool.ParallelFor(32, [&](int64_t, int thread) {
      if (inside[static_cast<size_t>(thread)].fetch_add(1) != 0) ++shared;
      inside[static_cast<size_t>(thread)].fetch_sub(1);
    });
  }
  EXPECT_EQ(shared.load(), 0);
}

// Loops that follow each other at once: a worker late for one must not run it, nor miss the next.
TEST(ThreadPool, ManyShortLoops) {
  ThreadPool pool(3);
  int64_t expected = 0;
  std::vector<int64_t> sums(3, 0);
  for (int64_t loop = 0; loop < 5000; ++loop) {
    const int64_t num_chunks = 1 + loop % 5;
    pool.ParallelFor(num_chunks, [&sums, loop](int64_t chunk, int thread) {
      sums[static_cast<size_t>(thread)] += loop * 10 + chunk;
    });
    for (int64_t chunk = 0; chunk < num_chunks; ++chunk) expected += loop * 10 + chunk;
  }
  EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), int64_t{0}), expected);
}

TEST(ThreadPool, FirstExceptionReachesTheCallerAndThePoolLivesOn) {
  for (int num_threads : {1, 3}) {
    ThreadPool pool(num_threads);
    for (int repeat = 0; repeat < 20; ++repeat) {
      EXPECT_THROW(pool.ParallelFor(50,
                                    [](int64_t chunk, int) {
                                      if (chunk >= 10) throw std::runtime_error("chunk");
                                    }),
                   std::runtime_error);
      std::atomic<int> count{0};
      pool.ParallelFor(50, [&](int64_t, int) { ++count; });
      EXPECT_EQ(count.load(), 50);
    }
  }
}

TEST(ThreadPool, RefusesImpossibleSizes) {
  for (int num_threads : {-1, 0, ThreadPool::kNumThreadsMax + 1}) {
    try {
      ThreadPool pool(num_threads);
      FAIL() << num_threads;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    }
  }
}

}  // namespace
}  // namespace retort
