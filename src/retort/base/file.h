#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace retort {

// Reads a whole file into memory. Throws Error{kNotFound}, {kIo}, or {kExhausted} if it is larger
// than `bytes_max`.
std::string ReadFile(const std::filesystem::path& path, uint64_t bytes_max);

// Writes through a temporary file in the same folder, fsync and rename: a reader sees the old
// content or the new one, never half. Throws Error{kIo} naming the path and the system's reason.
void WriteFileAtomically(const std::filesystem::path& path, std::string_view content);

// An append-only file of lines. Each Append is one write(2), so a killed process leaves at most one
// incomplete last line. Not thread-safe. Throws Error{kIo}.
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
