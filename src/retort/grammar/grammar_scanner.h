#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "retort/grammar/cfg_builder.h"

namespace retort::grammar {

// Reads a grammar's text word by word: what GBNF and Lark write alike. Errors are thrown through
// the builder, with line and column.
class GrammarScanner {
 public:
  GrammarScanner(std::string_view text, CfgBuilder* builder) : text_(text), builder_(builder) {}

  size_t position() const { return pos_; }
  bool AtEnd() const { return pos_ >= text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[pos_]; }
  [[noreturn]] void Fail(const std::string& why) const;
  bool Accept(std::string_view word);
  void Expect(std::string_view word);
  uint32_t Number();

 protected:
  // One character of UTF-8.
  char32_t CodePoint();
  // What stands after a backslash: x, u and U with their digits, one of `letters` (of "bfnrtv", for
  // what C means by it), or one of `selves`, which mean themselves.
  char32_t Escape(std::string_view letters, std::string_view selves);

  std::string_view text_;
  CfgBuilder* builder_;
  size_t pos_ = 0;
};

}  // namespace retort::grammar
