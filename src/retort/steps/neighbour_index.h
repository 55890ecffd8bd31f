#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace retort {

// Vectors of one length, searched for those with the greatest inner products. Not thread-safe.
class NeighbourIndex {
 public:
  virtual ~NeighbourIndex() = default;
  // Appends `count` vectors, one after the other.
  virtual void Add(size_t count, const float* vectors) = 0;
  // The positions of the `k` greatest products of each of `count` queries, greatest first; -1 where
  // there are fewer vectors.
  virtual void Search(size_t count, const float* queries, size_t k, int64_t* positions) const = 0;
};

// An index by FAISS. It and the BLAS under it are in a module of their own, libretort_faiss.so
// beside the binary or in ../lib/retort: BLAS takes memory and threads as soon as it is loaded,
// which no other part of the program should wait or fail for. Throws Error{kUnsupported} if the
// module is not there, and {kExhausted} if there is no room for it.
std::unique_ptr<NeighbourIndex> MakeNeighbourIndex(size_t dim);

// Opens the module without using it, so that a run fails before its work instead of behind it.
// Throws as MakeNeighbourIndex.
void OpenNeighbourModule();

}  // namespace retort
