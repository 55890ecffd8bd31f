#include "retort/grammar/json_text.h"

#include "retort/grammar/utf8_text.h"

namespace retort::grammar {
namespace {

uint32_t Hex4(std::string_view digits) {
  uint32_t value = 0;
  for (const char c : digits) {
    value = value * 16 + static_cast<uint32_t>(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
  }
  return value;
}

}  // namespace

std::string_view LastJsonScalar(std::string_view text) {
  size_t begin = text.size() - 1;
  if (text.back() != '"') {
    while (begin > 0 &&
           std::string_view("[,: \n").find(text[begin - 1]) == std::string_view::npos) {
      --begin;
    }
    return text.substr(begin);
  }
  // The opening quote is the first one before an even number of backslashes.
  while (begin > 0) {
    --begin;
    if (text[begin] != '"') continue;
    size_t backslashes = 0;
    while (backslashes < begin && text[begin - 1 - backslashes] == '\\') ++backslashes;
    if (backslashes % 2 == 0) break;
  }
  return text.substr(begin);
}

std::u32string DecodeJsonString(std::string_view token) {
  if (token.size() < 2) return {};
  token = token.substr(1, token.size() - 2);
  std::u32string out;
  size_t i = 0;
  while (i < token.size()) {
    const size_t escape = std::min(token.find('\\', i), token.size());
    out += DecodeUtf8(token.substr(i, escape - i));
    i = escape;
    if (i + 1 >= token.size()) break;
    const char c = token[i + 1];
    i += 2;
    if (c != 'u') {
      out += static_cast<char32_t>(c == 'b'   ? '\b'
                                   : c == 'f' ? '\f'
                                   : c == 'n' ? '\n'
                                   : c == 'r' ? '\r'
                                   : c == 't' ? '\t'
                                              : c);
      continue;
    }
    uint32_t value = Hex4(token.substr(i, 4));
    i += 4;
    if (value >= 0xD800 && value < 0xDC00 && i + 6 <= token.size()) {
      value = 0x10000 + ((value - 0xD800) << 10) + (Hex4(token.substr(i + 2, 4)) - 0xDC00);
      i += 6;
    }
    out += static_cast<char32_t>(value);
  }
  return out;
}

}  // namespace retort::grammar
