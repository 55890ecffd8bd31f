#include "retort/dataset/line_reader.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/dataset/row_reader.h"

namespace retort {
namespace {

constexpr size_t kChunkBytes = 1 << 16;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

ByteReader::ByteReader(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = OpenRegularFile(path_);
  buffer_.resize(kChunkBytes);
}

ByteReader::~ByteReader() { ::close(descriptor_); }

bool ByteReader::Fill() {
  for (;;) {
    const ssize_t count = ::read(descriptor_, buffer_.data() + end_, buffer_.size() - end_);
    if (count > 0) {
      end_ += static_cast<size_t>(count);
      return true;
    }
    if (count == 0) return false;
    if (errno != EINTR) {
      Throw(ErrorCode::kIo, "cannot read '{}': {}", path_.string(), std::strerror(errno));
    }
  }
}

std::string_view ByteReader::Peek() {
  if (!started_) {
    started_ = true;
    while (end_ < kByteOrderMark.size() && Fill()) {
    }
    if (std::string_view(buffer_.data(), end_).starts_with(kByteOrderMark)) {
      begin_ = kByteOrderMark.size();
    }
  }
  if (begin_ == end_) {
    begin_ = end_ = 0;
    Fill();
  }
  return {buffer_.data() + begin_, end_ - begin_};
}

LineStatus ReadLine(ByteReader& reader, std::string& line) {
  line.clear();
  bool any = false;
  bool too_long = false;
  for (;;) {
    const std::string_view chunk = reader.Peek();
    if (chunk.empty()) break;
    any = true;
    const size_t newline = chunk.find('\n');
    const std::string_view part = chunk.substr(0, newline);
    too_long = too_long || line.size() + part.size() > kLineBytesMax;
    if (!too_long) line.append(part);
    reader.Skip(newline == std::string_view::npos ? chunk.size() : newline + 1);
    if (newline != std::string_view::npos) break;
  }
  if (!any) return LineStatus::kEnd;
  if (too_long) {
    line = std::string();  // gives the memory back
    return LineStatus::kTooLong;
  }
  if (line.ends_with('\r')) line.pop_back();
  return LineStatus::kLine;
}

}  // namespace retort
