#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "retort/tokenizer/work_budget.h"

namespace retort {

inline constexpr size_t kPatternBytesMax = 1 << 16;

// A compiled pattern (PCRE2 with JIT, Unicode). Immutable, thread-safe.
// `\s` is Unicode White_Space and `\w` a letter, mark, digit or connector, as in the engines that
// tokenizer files are written for.
class Regex {
 public:
  // Throws Error{kInvalid} naming `origin` and the place of the fault.
  Regex(std::string_view pattern, std::string_view origin);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  // `text` as a pattern that matches only itself.
  static std::string Escape(std::string_view text);

  struct Compiled;
  const Compiled& compiled() const { return *compiled_; }

 private:
  std::unique_ptr<const Compiled> compiled_;
};

// Walks over the matches of one pattern in one text.
//
// A search first sees a small window of the text and may take few steps, which is enough for nearly
// every word. If it asks for more, a second form of the pattern is taken that reports each of its
// items before it tries it: the budget is charged for the text that was passed since the last
// report. A search thus costs as much as it really looks at, and ends within its items when the
// budget does. Both forms find the same.
class RegexMatches {
 public:
  // `text` must be valid UTF-8; it, `regex` and `budget` must outlive this.
  RegexMatches(const Regex& regex, std::string_view text, WorkBudget* budget);
  ~RegexMatches();
  RegexMatches(const RegexMatches&) = delete;
  RegexMatches& operator=(const RegexMatches&) = delete;

  // The next match that is not empty: [*begin, *end) in the text. False when there is none. Throws
  // Error{kInvalid} if it needs too much memory, {kExhausted} beyond the budget.
  bool Next(size_t* begin, size_t* end);

 private:
  int Match();
  int CountedMatch(size_t from);

  struct Workspace;
  const Regex::Compiled& regex_;
  std::string_view text_;
  WorkBudget* budget_;
  size_t at_ = 0;
  std::unique_ptr<Workspace> workspace_;
};

}  // namespace retort
