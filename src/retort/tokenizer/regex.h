#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "retort/tokenizer/work_budget.h"

namespace retort {

inline constexpr size_t kPatternBytesMax = 1 << 16;

// A compiled pattern (PCRE2 with JIT, Unicode) with bounded backtracking. Immutable, thread-safe.
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
// How often a pattern looks at a text cannot be counted from outside: a step of the search may be a
// run over all of the text. The search therefore sees a window of the text that grows only while
// the pattern asks for more, and is allowed few steps, more only when it gives up: what a search
// can have looked at is at most the steps allowed times the window.
class RegexMatches {
 public:
  // `text` must be valid UTF-8; it, `regex` and `budget` must outlive this.
  RegexMatches(const Regex& regex, std::string_view text, WorkBudget* budget);
  ~RegexMatches();
  RegexMatches(const RegexMatches&) = delete;
  RegexMatches& operator=(const RegexMatches&) = delete;

  // The next match that is not empty: [*begin, *end) in the text. False when there is none. Throws
  // Error{kInvalid} if it backtracks beyond kRegexStepsMax, {kExhausted} beyond the budget.
  bool Next(size_t* begin, size_t* end);

 private:
  int Match();

  struct Workspace;
  const Regex::Compiled& regex_;
  std::string_view text_;
  WorkBudget* budget_;
  size_t at_ = 0;
  std::unique_ptr<Workspace> workspace_;
};

}  // namespace retort
