#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// Code points of UTF-8 text and the character classes of Python's str methods.
namespace retort::jinja {

struct CodePoint {
  char32_t value;
  size_t num_bytes;
};

// The code point that begins at `position` (< text.size()). A byte that is not UTF-8 counts as one
// code point of one byte, U+DC80 + (byte - 0x80), as Python's surrogateescape has it.
CodePoint DecodeAt(std::string_view text, size_t position);

// The start of the code point that ends before `position` (> 0).
size_t PreviousStart(std::string_view text, size_t position);

bool IsValidUtf8(std::string_view text);
size_t CountCodePoints(std::string_view text);

// The byte offset of code point `index`; text.size() if there are no more than `index`.
size_t ByteOffset(std::string_view text, size_t index);

void AppendUtf8(std::string& out, char32_t code_point);

bool IsSpace(char32_t code_point);
bool IsPrintable(char32_t code_point);
bool IsAlpha(char32_t code_point);
bool IsDecimal(char32_t code_point);
bool IsNumeric(char32_t code_point);
bool IsUpper(char32_t code_point);
bool IsLower(char32_t code_point);
bool IsTitle(char32_t code_point);
bool IsWord(char32_t code_point);  // \w of a regular expression

std::string ToUpper(char32_t code_point);
std::string ToLower(char32_t code_point);
std::string ToTitle(char32_t code_point);

}  // namespace retort::jinja
