#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace retort {

// Opens a regular file and returns its descriptor, which the caller closes. Anything else is
// Error{kInvalid}, and does not wait as a FIFO would that nobody writes to.
int OpenRegularFile(const std::filesystem::path& path);

// Throws Error{kIo} if an open file is no longer the one at `path`, because the file or its folder
// was removed or replaced: what is written to it is lost.
void CheckStillAt(int descriptor, const std::filesystem::path& path);

// Reads a whole regular file into memory, or a pipe that the process was handed (/dev/stdin,
// /dev/fd/N, as a shell's "<(...)" is named). Throws Error{kNotFound}, {kIo}, {kInvalid} for a
// folder, a FIFO or a device, or {kExhausted} if it is larger than `bytes_max`.
std::string ReadFile(const std::filesystem::path& path, uint64_t bytes_max);

// Writes through a temporary file in the same folder, fsync and rename: a reader sees the old
// content or the new one, never half. Throws Error{kIo} naming the path and the system's reason.
void WriteFileAtomically(const std::filesystem::path& path, std::string_view content);

// Makes a file's bytes, or a folder's names, durable against power loss. Throws Error{kIo}.
void SyncPath(const std::filesystem::path& path);

// Makes a rename to `path` durable. Not checked: some file systems refuse it, and the bytes of the
// file are safe without it.
void SyncFolderOf(const std::filesystem::path& path);

// An append-only file of lines. Each Append is one write(2), so a killed process leaves at most one
// incomplete last line. Not thread-safe. Throws Error{kIo}, also if the file was removed since.
class AppendFile {
 public:
  explicit AppendFile(const std::filesystem::path& path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void Append(std::string_view bytes);
  // Makes what was appended durable against power loss.
  void Sync();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// SHA-256 of a file's bytes, in hex. About 1.5 GB/s. Throws Error{kCorrupt} if the file changes
// meanwhile.
std::string FileDigest(const std::filesystem::path& path);

}  // namespace retort
