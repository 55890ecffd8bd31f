#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <filesystem>
#include <span>

namespace retort {

struct MappedRegion;

// A whole file mapped read-only. The mapping lives as long as the object; pages are the file
// cache's, not anonymous memory. Throws Error{kNotFound} or {kIo} naming the path, {kInvalid} for
// what is no regular file. An empty file has no bytes.
//
// A mapping shows what the file holds at the moment of reading, so another process can change it
// under the reader. The object therefore keeps the file open and remembers how it was before the
// first byte was read; Look() compares. A page that is gone because the file was cut, or that the
// disk refuses, reads as zeros instead of ending the process with SIGBUS, and the file counts as
// changed from then on.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }

  enum class State {
    kSame,
    // Its links, rights or owner changed, which sets the same time as a write: the bytes must be
    // compared to know. So it is with a file that was replaced by a rename.
    kRelabelled,
    kChanged,
  };
  // A few system calls; any thread. A file system that caches times (NFS) may tell late.
  State Look() const;
  // Throws Error{kCorrupt} that names the file, says that it changed and what to do.
  [[noreturn]] void ThrowChanged() const;
  // From now on the file is compared with how it is now. Not while others look.
  void Remember();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  struct stat before_ = {};
  std::span<const std::byte> bytes_;
  MappedRegion* region_ = nullptr;  // where the signal handler finds the mapping
};

}  // namespace retort
