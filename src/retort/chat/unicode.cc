#include "retort/chat/unicode.h"

#include <utf8proc.h>

namespace retort::jinja {
namespace {

constexpr char32_t kEscapedByteBase = 0xDC00;

utf8proc_category_t Category(char32_t code_point) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
}

std::string Utf8(char32_t code_point) {
  std::string out;
  AppendUtf8(out, code_point);
  return out;
}

}  // namespace

CodePoint DecodeAt(std::string_view text, size_t position) {
  const auto byte = static_cast<unsigned char>(text[position]);
  if (byte < 0x80) return {byte, 1};
  utf8proc_int32_t value = 0;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + position;
  const auto available = static_cast<utf8proc_ssize_t>(text.size() - position);
  const utf8proc_ssize_t length = utf8proc_iterate(bytes, available, &value);
  if (length <= 0) return {kEscapedByteBase + byte, 1};
  return {static_cast<char32_t>(value), static_cast<size_t>(length)};
}

size_t PreviousStart(std::string_view text, size_t position) {
  // Walk back over at most three continuation bytes, then check that they belong together.
  for (size_t back = 1; back <= 4 && back <= position; ++back) {
    const size_t start = position - back;
    if ((static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) continue;
    if (start + DecodeAt(text, start).num_bytes == position) return start;
    break;
  }
  return position - 1;
}

bool IsValidUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = DecodeAt(text, at);
    if (point.num_bytes == 1 && static_cast<unsigned char>(text[at]) >= 0x80) return false;
    at += point.num_bytes;
  }
  return true;
}

size_t CountCodePoints(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) at += DecodeAt(text, at).num_bytes;
  return count;
}

size_t ByteOffset(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += DecodeAt(text, at).num_bytes;
  return at;
}

void AppendUtf8(std::string& out, char32_t code_point) {
  if (code_point >= kEscapedByteBase + 0x80 && code_point <= kEscapedByteBase + 0xFF) {
    out += static_cast<char>(code_point - kEscapedByteBase);  // a byte that was not UTF-8
    return;
  }
  utf8proc_uint8_t buffer[4];
  const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), buffer);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(length));
}

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool IsPrintable(char32_t c) {
  if (c == ' ') return true;
  switch (Category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

bool IsAlpha(char32_t c) {
  const auto category = Category(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool IsDecimal(char32_t c) { return Category(c) == UTF8PROC_CATEGORY_ND; }

bool IsNumeric(char32_t c) {
  const auto category = Category(c);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool IsUpper(char32_t c) { return Category(c) == UTF8PROC_CATEGORY_LU; }
bool IsLower(char32_t c) { return Category(c) == UTF8PROC_CATEGORY_LL; }
bool IsTitle(char32_t c) { return Category(c) == UTF8PROC_CATEGORY_LT; }
bool IsWord(char32_t c) { return c == '_' || IsAlpha(c) || IsNumeric(c); }

// utf8proc maps one code point to one; these are the common ones that Python maps to two.
std::string ToUpper(char32_t c) {
  if (c == 0xDF) return "SS";
  return Utf8(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}

std::string ToLower(char32_t c) {
  if (c == 0x130) return "i\xCC\x87";
  return Utf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

std::string ToTitle(char32_t c) {
  if (c == 0xDF) return "Ss";
  return Utf8(static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
}

}  // namespace retort::jinja
