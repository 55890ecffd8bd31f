#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace retort {

// One step through bytes that should be UTF-8.
struct Utf8Step {
  enum class Kind {
    kCharacter,   // a whole character of `num_bytes`
    kInvalid,     // `num_bytes` that no continuation makes valid (a maximal subpart)
    kIncomplete,  // the text ends inside a character that could still become valid
  };
  Kind kind;
  int num_bytes;
  char32_t code_point;  // of a character
};

// What stands at the front of `text`, which is not empty. Refuses overlong forms, surrogates and
// code points beyond U+10FFFF (Unicode 15, table 3-7).
Utf8Step NextUtf8(std::string_view text);

bool IsUtf8(std::string_view text);

// `text` with each maximal invalid subpart replaced by U+FFFD, as WHATWG decoders do.
std::string ReplaceInvalidUtf8(std::string_view text);

void AppendUtf8(char32_t code_point, std::string* out);

// Bytes of the character that starts with `lead`, in text known to be valid.
inline int Utf8Length(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace retort
