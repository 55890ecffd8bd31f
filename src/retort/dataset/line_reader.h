#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace retort {

// A file read in chunks. Not thread-safe. Throws Error{kNotFound} or {kIo} naming the path.
class ByteReader {
 public:
  explicit ByteReader(std::filesystem::path path);
  ~ByteReader();
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;

  // The unread rest of the chunk, at least one byte unless the file is at its end. A byte order
  // mark at the start of the file is left out.
  std::string_view Peek();
  void Skip(size_t num_bytes) { begin_ += num_bytes; }
  const std::filesystem::path& path() const { return path_; }

 private:
  bool Fill();

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::string buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool started_ = false;
};

enum class LineStatus { kLine, kTooLong, kEnd };

// Reads one line, without its end ("\n" or "\r\n"). kTooLong: the line exceeded kLineBytesMax and
// was passed over; `line` is empty.
LineStatus ReadLine(ByteReader& reader, std::string& line);

}  // namespace retort
