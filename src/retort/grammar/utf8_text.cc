#include "retort/grammar/utf8_text.h"

#include <cstdint>

#include "retort/grammar/code_point_set.h"

namespace retort::grammar {

std::u32string DecodeUtf8(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    const size_t size = lead < 0x80   ? 1
                        : lead < 0xC2 ? 0
                        : lead < 0xE0 ? 2
                        : lead < 0xF0 ? 3
                        : lead < 0xF5 ? 4
                                      : 0;
    uint32_t value = size == 1 ? lead : lead & (0xFF >> (size + 1));
    bool good = size > 0 && i + size <= text.size();
    for (size_t k = 1; good && k < size; ++k) {
      const auto byte = static_cast<uint8_t>(text[i + k]);
      good = (byte & 0xC0) == 0x80;
      value = value << 6 | (byte & 0x3F);
    }
    good = good && !(size == 3 && value < 0x800) && !(size == 4 && value < 0x10000) &&
           value <= kCodePointMax && !(value >= kSurrogateFirst && value <= kSurrogateLast);
    out += good ? static_cast<char32_t>(value) : U'\uFFFD';
    i += good ? size : 1;
  }
  return out;
}

std::string EncodeUtf8(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else if (c < 0x800) {
      out += static_cast<char>(0xC0 | c >> 6);
      out += static_cast<char>(0x80 | (c & 63));
    } else if (c < 0x10000) {
      out += static_cast<char>(0xE0 | c >> 12);
      out += static_cast<char>(0x80 | (c >> 6 & 63));
      out += static_cast<char>(0x80 | (c & 63));
    } else {
      out += static_cast<char>(0xF0 | c >> 18);
      out += static_cast<char>(0x80 | (c >> 12 & 63));
      out += static_cast<char>(0x80 | (c >> 6 & 63));
      out += static_cast<char>(0x80 | (c & 63));
    }
  }
  return out;
}

}  // namespace retort::grammar
