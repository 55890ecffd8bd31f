#include "retort/dataset/jsonl_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "retort/base/error.h"
#include "retort/base/file.h"

namespace retort {
namespace {

[[noreturn]] void ThrowIo(const std::filesystem::path& path, std::string_view doing) {
  const int reason = errno;
  Throw(ErrorCode::kIo, "{} '{}': {}", doing, path.string(), std::strerror(reason));
}

}  // namespace

std::filesystem::path PartialPath(const std::filesystem::path& path) {
  std::filesystem::path partial = path;
  partial.replace_extension(".partial" + path.extension().string());
  return partial;
}

JsonlWriter::JsonlWriter(std::filesystem::path path)
    : path_(std::move(path)), partial_path_(PartialPath(path_)) {
  descriptor_ =
      ::open(partial_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) ThrowIo(partial_path_, "cannot create");
}

JsonlWriter::~JsonlWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void JsonlWriter::AppendLines(std::string_view lines) {
  std::string_view rest = lines;
  while (!rest.empty()) {
    const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<size_t>(written));
      continue;
    }
    if (errno == EINTR) continue;
    const int reason = errno;
    // Not checked: on failure the cut-off line stays, in a file that says it is partial.
    [[maybe_unused]] const int cut = ::ftruncate(descriptor_, static_cast<off_t>(num_bytes_));
    errno = reason;
    ThrowIo(partial_path_, "cannot write");
  }
  num_bytes_ += lines.size();
  CheckStillAt(descriptor_, partial_path_);
}

void JsonlWriter::Finish() {
  if (::fsync(descriptor_) != 0) ThrowIo(partial_path_, "cannot sync");
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) ThrowIo(partial_path_, "cannot close");
  if (::rename(partial_path_.c_str(), path_.c_str()) != 0) ThrowIo(path_, "cannot replace");
  SyncFolderOf(path_);
}

}  // namespace retort
