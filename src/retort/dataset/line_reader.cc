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

size_t FindBadUtf8(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  size_t i = 0;
  while (i < text.size()) {
    const unsigned char lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    size_t length = 0;
    unsigned char low = 0x80;  // bounds of the second byte
    unsigned char high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
      length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      length = 3;
      if (lead == 0xE0) low = 0xA0;   // no overlong form
      if (lead == 0xED) high = 0x9F;  // no surrogate
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      length = 4;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;  // not beyond U+10FFFF
    }
    if (length == 0 || i + length > text.size()) return i;
    if (byte(i + 1) < low || byte(i + 1) > high) return i;
    for (size_t k = 2; k < length; ++k) {
      if ((byte(i + k) & 0xC0) != 0x80) return i;
    }
    i += length;
  }
  return std::string_view::npos;
}

}  // namespace retort
