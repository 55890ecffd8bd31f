#pragma once

#include "retort/chat/runtime.h"

// Python's str operations over marked text: every byte of the result keeps where it came from.
namespace retort::jinja {

inline constexpr int64_t kNoLimit = -1;

Text Upper(const Text& text);
Text Lower(const Text& text);
Text Capitalize(const Text& text);
Text TitleCase(const Text& text);  // str.title(): after every non-letter
Text SwapCase(const Text& text);

// Replaces at most `count` occurrences (all if negative).
Text Replace(Runtime& runtime, const Text& text, const Text& old, const Text& by, int64_t count);

// str.split / rsplit at `separator`, or at runs of white space if it is null.
std::vector<Value> Split(Runtime& runtime, const Text& text, const Text* separator, int64_t count);
std::vector<Value> SplitFromRight(Runtime& runtime, const Text& text, const Text* separator,
                                  int64_t count);
std::vector<Text> SplitLines(const Text& text, bool keep_ends);

enum class Justify { kLeft, kRight, kCenter };
Text Pad(Runtime& runtime, const Text& text, int64_t width, const Text& fill, Justify justify);

Text Join(Runtime& runtime, const Text& separator, const std::vector<Value>& items);

}  // namespace retort::jinja
