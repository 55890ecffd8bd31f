#include "retort/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/base/mapped_file.h"

namespace retort {
namespace {

[[noreturn]] void ThrowSystem(const std::filesystem::path& path, std::string_view doing) {
  const int reason = errno;
  Throw(reason == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{} '{}': {}", doing,
        path.string(), std::strerror(reason));
}

class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags, mode_t mode = 0)
      : value_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
    if (value_ < 0) ThrowSystem(path, "cannot open");
  }
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() { Close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value() const { return value_; }
  int Close() {
    if (value_ < 0) return 0;
    const int result = ::close(value_);
    value_ = -1;
    return result;
  }
  int Release() {
    const int value = value_;
    value_ = -1;
    return value;
  }

 private:
  int value_;
};

// What stands at a path where a regular file is expected.
std::string_view KindName(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "something else";
}

// A pipe of this name was given to the process by whoever started it, and ends.
bool IsHandedOver(const std::filesystem::path& path) {
  const std::string& text = path.native();
  return text == "/dev/stdin" || text.starts_with("/dev/fd/") || text.starts_with("/proc/self/fd/");
}

void WriteAll(int descriptor, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      ThrowSystem(path, "cannot write");
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

int OpenRegularFile(const std::filesystem::path& path) {
  Descriptor file(path, O_RDONLY | O_NONBLOCK);  // it changes nothing for a regular file
  struct stat info = {};
  if (::fstat(file.value(), &info) != 0) ThrowSystem(path, "cannot stat");
  if (!S_ISREG(info.st_mode)) {
    Throw(ErrorCode::kInvalid, "'{}' is {}: a regular file is expected", path.string(),
          KindName(info.st_mode));
  }
  return file.Release();
}

void CheckStillAt(int descriptor, const std::filesystem::path& path) {
  struct stat open = {};
  struct stat there = {};
  if (::fstat(descriptor, &open) != 0) ThrowSystem(path, "cannot stat");
  if (::stat(path.c_str(), &there) != 0 || there.st_dev != open.st_dev ||
      there.st_ino != open.st_ino) {
    Throw(ErrorCode::kIo,
          "'{}' was removed or replaced while it was written (or a folder above it was)",
          path.string());
  }
}

std::string ReadFile(const std::filesystem::path& path, uint64_t bytes_max) {
  Descriptor file(IsHandedOver(path) ? Descriptor(path, O_RDONLY).Release()
                                     : OpenRegularFile(path));
  std::string content;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t count = ::read(file.value(), buffer, sizeof buffer);
    if (count < 0) {
      if (errno == EINTR) continue;
      ThrowSystem(path, "cannot read");
    }
    if (count == 0) return content;
    if (content.size() + static_cast<size_t>(count) > bytes_max) {
      Throw(ErrorCode::kExhausted, "'{}' is larger than the {} bytes allowed here", path.string(),
            bytes_max);
    }
    content.append(buffer, static_cast<size_t>(count));
  }
}

void WriteFileAtomically(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::path temporary = path;
  temporary += fmt::format(".tmp-{}", ::getpid());
  try {
    Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    WriteAll(file.value(), content, temporary);
    if (::fsync(file.value()) != 0) ThrowSystem(temporary, "cannot sync");
    if (file.Close() != 0) ThrowSystem(temporary, "cannot close");
    if (::rename(temporary.c_str(), path.c_str()) != 0) ThrowSystem(path, "cannot replace");
    SyncFolderOf(path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void SyncFolderOf(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

void SyncPath(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY);
  if (::fsync(file.value()) != 0) ThrowSystem(path, "cannot sync");
}

AppendFile::AppendFile(const std::filesystem::path& path) : path_(path) {
  // A FIFO without a reader is refused, where it would be waited for; one that is read is written
  // as any file.
  Descriptor file(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK, 0644);
  const int flags = ::fcntl(file.value(), F_GETFL);
  if (flags < 0 || ::fcntl(file.value(), F_SETFL, flags & ~O_NONBLOCK) != 0) {
    ThrowSystem(path, "cannot open");
  }
  descriptor_ = file.Release();
}

AppendFile::~AppendFile() { ::close(descriptor_); }

void AppendFile::Append(std::string_view bytes) {
  WriteAll(descriptor_, bytes, path_);
  CheckStillAt(descriptor_, path_);
}

void AppendFile::Sync() {
  if (::fdatasync(descriptor_) != 0) ThrowSystem(path_, "cannot sync");
}

std::string FileDigest(const std::filesystem::path& path) {
  const MappedFile file(path);
  std::string digest = Sha256().Add(file.bytes()).Hex();
  if (file.Look() == MappedFile::State::kChanged) file.ThrowChanged();
  return digest;
}

}  // namespace retort
