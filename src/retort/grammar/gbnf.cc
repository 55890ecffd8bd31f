// llama.cpp's GBNF: rules "name ::= alternatives" over code points.
#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/grammar/grammar_scanner.h"

namespace retort {
namespace grammar {
namespace {

class GbnfParser : private GrammarScanner {
 public:
  GbnfParser(std::string_view text, CfgBuilder* builder, const Limits& limits)
      : GrammarScanner(text, builder), limits_(limits) {}

  void Parse() {
    Space(true);
    while (pos_ < text_.size()) {
      const size_t start = pos_;
      const std::string name = Name();
      Space(false);
      Expect("::=");
      Space(true);
      CfgExpr expr = Choice(0);
      if (pos_ < text_.size() && text_[pos_] != '\n' && text_[pos_] != '\r') {
        Fail("the end of the rule expected");
      }
      builder_->Add(name, std::move(expr), start);
      Space(true);
    }
  }

 private:
  static bool IsName(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  }
  std::string Name() {
    const size_t start = pos_;
    while (IsName(Peek())) ++pos_;
    if (pos_ == start) Fail("a rule's name expected");
    return std::string(text_.substr(start, pos_ - start));
  }
  void Space(bool newlines) {
    while (pos_ < text_.size()) {
      const char c = text_[pos_];
      if (c == '#') {
        while (pos_ < text_.size() && text_[pos_] != '\n') ++pos_;
      } else if (c == ' ' || c == '\t' || (newlines && (c == '\n' || c == '\r'))) {
        ++pos_;
      } else {
        return;
      }
    }
  }

  // "name ::="
  bool AtRule() {
    const size_t start = pos_;
    while (IsName(Peek())) ++pos_;
    bool is_rule = pos_ > start;
    Space(false);
    is_rule = is_rule && text_.substr(pos_).starts_with("::=");
    pos_ = start;
    return is_rule;
  }

  CfgExpr Choice(int depth) {
    if (depth > limits_.depth_max) {
      builder_->Fail(ErrorCode::kExhausted, pos_, "groups nest too deep");
    }
    CfgExpr choice;
    choice.kind = CfgExpr::Kind::kChoice;
    choice.position = pos_;
    choice.parts.push_back(Sequence(depth));
    while (true) {
      Space(depth > 0);
      // A rule goes on if the next line begins with '|'.
      const size_t before = pos_;
      Space(true);
      if (!Accept("|")) {
        pos_ = depth > 0 ? pos_ : before;
        break;
      }
      const size_t end = pos_;
      Space(true);
      if (depth == 0 && AtRule()) {  // nothing stands before the next rule
        choice.parts.emplace_back();
        pos_ = end;
        Space(false);
      } else {
        choice.parts.push_back(Sequence(depth));
      }
    }
    if (choice.parts.size() == 1) return std::move(choice.parts[0]);
    return choice;
  }

  CfgExpr Sequence(int depth) {
    CfgExpr sequence;
    sequence.position = pos_;
    while (true) {
      const char c = Peek();
      CfgExpr item;
      item.position = pos_;
      if (c == '"') {
        item = Literal();
      } else if (c == '[') {
        item = Class();
      } else if (c == '.') {
        ++pos_;
        item.kind = CfgExpr::Kind::kRegex;
        item.regex = builder_->pool().Set(CodePointSet::Any());
      } else if (c == '(') {
        ++pos_;
        Space(true);
        item = Choice(depth + 1);
        Space(true);
        Expect(")");
      } else if (c == '<' || c == '!') {
        builder_->Fail(ErrorCode::kUnsupported, pos_, "tokens (<name>, <[id]>) are not supported");
      } else if (IsName(c)) {
        item.kind = CfgExpr::Kind::kRef;
        item.name = Name();
      } else {
        break;
      }
      Space(depth > 0);
      sequence.parts.push_back(Repeats(std::move(item), depth));
      Space(depth > 0);
    }
    if (sequence.parts.size() == 1) return std::move(sequence.parts[0]);
    return sequence;
  }

  CfgExpr Repeats(CfgExpr item, int depth) {
    while (true) {
      uint32_t min = 0;
      uint32_t max = kUnbounded;
      if (Accept("*")) {
      } else if (Accept("+")) {
        min = 1;
      } else if (Accept("?")) {
        max = 1;
      } else if (Accept("{")) {
        min = Number();
        max = min;
        Space(true);
        if (Accept(",")) {
          Space(true);
          max = Peek() == '}' ? kUnbounded : Number();
        }
        Space(true);
        Expect("}");
        if (min > max) Fail("the minimum exceeds the maximum");
      } else {
        return item;
      }
      item = CfgExpr::Repeat(std::move(item), min, max);
      Space(depth > 0);
    }
  }

  char32_t Character() { return Accept("\\") ? Escape("nrt", "\"\\[]-^/") : CodePoint(); }

  CfgExpr Literal() {
    CfgExpr item;
    item.kind = CfgExpr::Kind::kRegex;
    item.position = pos_++;
    std::u32string text;
    while (Peek() != '"') {
      if (pos_ >= text_.size()) Fail("a string has no closing quote");
      text += Character();
    }
    ++pos_;
    item.regex = builder_->pool().Literal(text);
    return item;
  }

  CfgExpr Class() {
    CfgExpr item;
    item.kind = CfgExpr::Kind::kRegex;
    item.position = pos_++;
    const bool negated = Accept("^");
    std::vector<CodePointRange> ranges;
    while (Peek() != ']') {
      if (pos_ >= text_.size()) Fail("a class has no ']'");
      const char32_t first = Character();
      char32_t last = first;
      if (Peek() == '-' && pos_ + 1 < text_.size() && text_[pos_ + 1] != ']') {
        ++pos_;
        last = Character();
        if (last < first) Fail("a range is out of order");
      }
      ranges.push_back({first, last});
    }
    ++pos_;
    const CodePointSet set = CodePointSet(std::move(ranges)).Intersect(CodePointSet::Any());
    item.regex = builder_->pool().Set(negated ? set.Complement() : set);
    return item;
  }

  const Limits& limits_;
};

}  // namespace
}  // namespace grammar

std::shared_ptr<const Grammar> CompileGbnf(std::string_view text, const grammar::Limits& limits) {
  grammar::CfgBuilder builder(text, "grammar", limits);
  grammar::GbnfParser(text, &builder, limits).Parse();
  return builder.Build("root", Sha256Hex("gbnf\n" + std::string(text)));
}

}  // namespace retort
