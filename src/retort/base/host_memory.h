#pragma once

#include <cstdint>
#include <filesystem>

namespace retort {

struct HostMemory {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;  // what can still be used without pushing others out
};

// What this process may use: the machine's memory, or its cgroup's limit (version 2 or 1, any
// ancestor) where that is less. File cache counts as free. `root` is for tests: it stands for "/".
// A file that cannot be read limits nothing. Cost: a few small reads.
HostMemory ReadHostMemory(const std::filesystem::path& root = "/");

}  // namespace retort
