#include "retort/base/printable.h"

#include <fmt/format.h>

#include <cstdint>

#include "retort/base/utf8.h"

namespace retort {
namespace {

// What a terminal obeys instead of showing it: C0, DEL, C1, and the marks that turn the direction
// of writing or end a line.
bool IsControl(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x200E || c == 0x200F || c == 0x2028 ||
         c == 0x2029 || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

std::string WrittenOut(std::string_view text, bool keep_lines) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    const bool is_text = step.kind == Utf8Step::Kind::kCharacter;
    const char32_t c = step.code_point;
    const size_t num_bytes = is_text ? static_cast<size_t>(step.num_bytes) : 1;
    if (!is_text) {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (c == '\n' || c == '\t') {
      shown += keep_lines ? text.substr(0, 1) : c == '\n' ? "\\n" : "\\t";
    } else if (c == '\r') {
      shown += "\\r";
    } else if (IsControl(c)) {
      shown += c < 0x100 ? fmt::format("\\x{:02x}", static_cast<uint32_t>(c))
                         : fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else {
      shown += text.substr(0, num_bytes);
    }
    text.remove_prefix(num_bytes);
  }
  return shown;
}

}  // namespace

std::string Printable(std::string_view text) { return WrittenOut(text, true); }
std::string PrintableLine(std::string_view text) { return WrittenOut(text, false); }

}  // namespace retort
