#pragma once

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

// What reaches the disk, and when: notes every fsync and rename of the test program, for tests of
// what a power cut would leave. To be included by one file of a program: it takes the place of the
// C library's functions.
namespace retort {

class DiskEvents {
 public:
  static void Note(const std::string& doing, const std::filesystem::path& path) {
    const std::lock_guard lock(Mutex());
    List().push_back(doing + " " + path.filename().string());
  }
  // "sync NAME" and "rename NAME" since the last call.
  static std::vector<std::string> Take() {
    const std::lock_guard lock(Mutex());
    return std::exchange(List(), {});
  }

 private:
  static std::mutex& Mutex() {
    static std::mutex mutex;
    return mutex;
  }
  static std::vector<std::string>& List() {
    static std::vector<std::string> list;
    return list;
  }
};

}  // namespace retort

extern "C" {

int fsync(int descriptor) {
  std::error_code ignored;
  retort::DiskEvents::Note("sync", std::filesystem::read_symlink(
                                       "/proc/self/fd/" + std::to_string(descriptor), ignored));
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

int rename(const char* from, const char* to) noexcept {
  retort::DiskEvents::Note("rename", from);
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

}  // extern "C"
