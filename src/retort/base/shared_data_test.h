#pragma once

#include <cstdlib>
#include <filesystem>

namespace retort {

// The folder of public suites and golden values that tests read: $RETORT_SHARED, else beside the
// checkout. Tests skip, saying so, what is not there.
inline std::filesystem::path SharedData() {
  const char* set = std::getenv("RETORT_SHARED");
  if (set != nullptr && *set != '\0') return set;
  return std::filesystem::path(RETORT_SOURCE_DIR) / ".." / "shared" / "data";
}

}  // namespace retort
