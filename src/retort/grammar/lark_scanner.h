#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "retort/grammar/grammar_scanner.h"

namespace retort::grammar {

// The words of a Lark grammar.
class LarkScanner : public GrammarScanner {
 public:
  using GrammarScanner::GrammarScanner;

  // As Accept, if no letter follows.
  bool AcceptWord(std::string_view word);
  // Blanks and comments ("//" and '#'); line ends too if `lines`.
  void Space(bool lines);
  // '|', here or at the beginning of the next line. `inside`: of a group.
  bool AcceptOr(bool inside);
  void EndOfLine();
  static bool IsNameStart(char c);
  std::string Name();
  // "~ 3", "~ 3..5", "{3}", "{3,}", "{3,5}": least and most, if one of them is here.
  std::optional<std::pair<uint32_t, uint32_t>> Count();
  std::u32string String();
  // One letter right behind a literal.
  bool AcceptFlag(char flag);
  struct Pattern {
    std::string text;  // with the flags in front, as in "(?i:...)"
  };
  // /pattern/flags
  Pattern RegexLiteral();
  // A balanced {...}, as JSON writes it.
  std::string_view JsonBlock();
  // Whether the text has a line that begins with %ignore.
  bool HasIgnore() const;

  // {"substring_words": "a b"} and its kin: the parts; nullopt if it is none of them.
  static std::optional<std::vector<std::u32string>> SubstringParts(std::string_view json,
                                                                   const Limits& limits);
};

}  // namespace retort::grammar
