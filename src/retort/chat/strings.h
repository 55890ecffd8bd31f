#pragma once

#include "retort/chat/runtime.h"
#include "retort/chat/unicode.h"

// Python's str operations over marked text: every byte of the result keeps where it came from. All
// count what they look at and what they make.
namespace retort::jinja {

inline constexpr int64_t kNoLimit = -1;

// The first place at or after `from` where `wanted` stands in `text`, else npos. O(|text| +
// |wanted|), whatever the two are.
size_t FindText(Runtime& runtime, std::string_view text, std::string_view wanted, size_t from = 0);

// Finds from the right: the text read backwards, made once.
class BackwardSearch {
 public:
  BackwardSearch(Runtime& runtime, std::string_view text, std::string_view wanted);
  // The last place where `wanted` (not empty) stands in the text's first `end` bytes, else npos.
  size_t Find(size_t end) const;

 private:
  Runtime& runtime_;
  std::string text_;
  std::string wanted_;
};

Text Upper(Runtime& runtime, const Text& text);
Text Lower(Runtime& runtime, const Text& text);
Text Capitalize(Runtime& runtime, const Text& text);
Text TitleCase(Runtime& runtime, const Text& text);  // str.title(): after every non-letter
Text SwapCase(Runtime& runtime, const Text& text);

// Replaces &, <, >, ' and " by their HTML entities. An entity has the provenance of its character.
Text EscapeHtml(Runtime& runtime, const Text& text);

// Removes code points in `chars` (Python's whitespace if `chars` is null) from the chosen ends.
Text Strip(Runtime& runtime, const Text& text, const std::string_view* chars, bool left,
           bool right);

// Replaces at most `count` occurrences (all if negative).
Text Replace(Runtime& runtime, const Text& text, const Text& old, const Text& by, int64_t count);

// str.split / rsplit at `separator`, or at runs of white space if it is null.
std::vector<Value> Split(Runtime& runtime, const Text& text, const Text* separator, int64_t count);
std::vector<Value> SplitFromRight(Runtime& runtime, const Text& text, const Text* separator,
                                  int64_t count);
std::vector<Value> SplitLines(Runtime& runtime, const Text& text, bool keep_ends);

enum class Justify { kLeft, kRight, kCenter };
Text Pad(Runtime& runtime, const Text& text, int64_t width, const Text& fill, Justify justify);

Text Join(Runtime& runtime, const Text& separator, const std::vector<Value>& items);

// Maps every code point by `map`, which is given its index among code points.
template <typename Map>
Text MapCodePoints(Runtime& runtime, const Text& text, Map map) {
  TextBuilder out(runtime);
  size_t at = 0;
  size_t index = 0;
  for (const Text::Run& run : text.runs()) {  // a code point is of the run that it begins in
    for (; at < run.end; ++index) {
      const CodePoint point = DecodeAt(text.view(), at);
      out.Append(map(point.value, index), run.is_template);
      at += point.num_bytes;
    }
  }
  return out.Take(text.is_markup);
}

}  // namespace retort::jinja
