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

std::string ReadFile(const std::filesystem::path& path, uint64_t bytes_max) {
  Descriptor file(path, O_RDONLY);
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
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

AppendFile::AppendFile(const std::filesystem::path& path)
    : path_(path), descriptor_(Descriptor(path, O_WRONLY | O_CREAT | O_APPEND, 0644).Release()) {}

AppendFile::~AppendFile() { ::close(descriptor_); }

void AppendFile::Append(std::string_view bytes) { WriteAll(descriptor_, bytes, path_); }

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
