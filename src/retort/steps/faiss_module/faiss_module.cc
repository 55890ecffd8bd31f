// The module that MakeNeighbourIndex opens: the only code that FAISS is linked into.
#include <faiss/IndexFlat.h>
#include <omp.h>

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "retort/steps/neighbour_index.h"

namespace retort {
namespace {

// How many of `wanted` threads the system starts. OpenMP ends the process if it does not get one.
int CountThreads(int wanted) {
  std::mutex mutex;
  std::condition_variable counted;
  bool done = false;
  std::vector<std::thread> threads;
  try {
    while (static_cast<int>(threads.size()) < wanted) {
      threads.emplace_back([&] {
        std::unique_lock lock(mutex);
        counted.wait(lock, [&] { return done; });
      });
    }
  } catch (const std::system_error&) {
    // As many as there are.
  }
  {
    const std::lock_guard lock(mutex);
    done = true;
  }
  counted.notify_all();
  for (std::thread& thread : threads) thread.join();
  return static_cast<int>(threads.size());
}

class FaissIndex : public NeighbourIndex {
 public:
  explicit FaissIndex(size_t dim) : index_(static_cast<faiss::Index::idx_t>(dim)) {
    // For the calling thread, which is the one that searches.
    const int wanted = omp_get_max_threads() - 1;
    if (CountThreads(wanted) < wanted) omp_set_num_threads(1);
  }

  void Add(size_t count, const float* vectors) override {
    index_.add(static_cast<faiss::Index::idx_t>(count), vectors);
  }

  void Search(size_t count, const float* queries, size_t k, int64_t* positions) const override {
    std::vector<float> products(count * k);
    index_.search(static_cast<faiss::Index::idx_t>(count), queries,
                  static_cast<faiss::Index::idx_t>(k), products.data(), positions);
  }

 private:
  faiss::IndexFlatIP index_;
};

}  // namespace
}  // namespace retort

extern "C" __attribute__((visibility("default"))) retort::NeighbourIndex* RetortMakeNeighbourIndex(
    size_t dim) {
  return new retort::FaissIndex(dim);
}
