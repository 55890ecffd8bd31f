#include "retort/base/text_file.h"

#include "retort/base/error.h"
#include "retort/base/file.h"

namespace retort {

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

std::string TextOf(std::string bytes, std::string_view origin) {
  const size_t bad = FindBadUtf8(bytes);
  if (bad != std::string::npos) {
    const bool is_utf16 = bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF");
    Throw(ErrorCode::kInvalid, "'{}' is not UTF-8: byte 0x{:02X} at offset {}{}", origin,
          static_cast<unsigned char>(bytes[bad]), bad,
          is_utf16 ? " (it seems to be UTF-16: save it as UTF-8)" : "");
  }
  if (bytes.ends_with('\n')) bytes.resize(bytes.size() - (bytes.ends_with("\r\n") ? 2 : 1));
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.erase(0, 3);
  return bytes;
}

std::string ReadTextFile(const std::filesystem::path& path, uint64_t bytes_max) {
  return TextOf(ReadFile(path, bytes_max), path.string());
}

}  // namespace retort
