#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "retort/grammar/cfg_builder.h"

namespace retort::grammar {

// The words of a Lark grammar. Errors are thrown through the builder, with line and column.
class LarkScanner {
 public:
  LarkScanner(std::string_view text, const CfgBuilder* builder) : text_(text), builder_(builder) {}

  size_t position() const { return pos_; }
  bool AtEnd() const { return pos_ >= text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[pos_]; }
  [[noreturn]] void Fail(const std::string& why) const;
  bool Accept(std::string_view word);
  // As Accept, if no letter follows.
  bool AcceptWord(std::string_view word);
  void Expect(std::string_view word);
  // Blanks and comments ("//" and '#'); line ends too if `lines`.
  void Space(bool lines);
  // '|', here or at the beginning of the next line. `inside`: of a group.
  bool AcceptOr(bool inside);
  void EndOfLine();
  static bool IsNameStart(char c);
  std::string Name();
  uint32_t Number();
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

 private:
  char32_t Escape();

  std::string_view text_;
  const CfgBuilder* builder_;
  size_t pos_ = 0;
};

}  // namespace retort::grammar
