#pragma once

#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "retort/backend/cpu/cpu_memory.h"

// Private to backend/cpu.
namespace retort::cpu {

// Memory that a model is loaded into. What is walked end to end in every step wants huge pages, but
// the system may have to make them of smaller ones first, and a virtual machine be given the memory
// behind them, which then takes longer than all the rest of loading. So memory begins as small
// pages, which are mostly at hand, and a thread moves it into huge ones after the first step. Where
// the system cannot do that (Linux before 6.1) pages are huge from the beginning.
//
// Used by one thread.
class LateHugePages {
 public:
  // Without `late`, or once Start was called, pages are huge at once.
  explicit LateHugePages(bool late);

  // Throws Error{kExhausted} as AlignedBytes does.
  std::shared_ptr<AlignedBytes> Allocate(size_t bytes);

  // Begins to move what was allocated so far and still lives. Calls after the first do nothing.
  void Start();
  // Waits until all is moved.
  void Wait();

 private:
  bool late_;
  std::vector<std::weak_ptr<const AlignedBytes>> blocks_;
  std::jthread thread_;
};

// Has the system provide the pages of [begin, begin + num_bytes) at once, for writing, rather than
// one by one as they are touched. May do nothing.
void ProvidePages(std::byte* begin, size_t num_bytes);
// The same for bytes to read, which may lie in a mapped file.
void ProvidePages(const std::byte* begin, size_t num_bytes);

}  // namespace retort::cpu
