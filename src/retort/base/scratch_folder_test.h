#pragma once

#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace retort {

// A new, empty folder of this object's own, which goes with it: no two tests meet in one, in one
// process or in many. It is made in $TMPDIR, or in /tmp where that is not set.
// RETORT_KEEP_SCRATCH=1 leaves it for those who look into a failure.
class ScratchFolder {
 public:
  ScratchFolder() {
    const char* set = std::getenv("TMPDIR");
    const std::filesystem::path parent = set != nullptr && *set != '\0' ? set : "/tmp";
    std::string name = (parent / "retort-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
    path_ = name;
  }
  ~ScratchFolder() {
    if (std::getenv("RETORT_KEEP_SCRATCH") != nullptr) return;
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace retort
