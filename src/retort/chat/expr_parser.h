#pragma once

#include <initializer_list>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "retort/chat/ast.h"
#include "retort/chat/lexer.h"

namespace retort::jinja {

// Recursive descent over the tokens of one template: the expression half. StatementParser adds
// tags.
class ExprParser {
 public:
  ExprParser(std::vector<Token> tokens, std::string_view origin);

 protected:
  // A nesting level of the parser, for as long as it lives.
  class Nesting {
   public:
    explicit Nesting(ExprParser& parser);
    ~Nesting() { --parser_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    ExprParser& parser_;
  };
  using MutableExpr = std::unique_ptr<Expr>;

  const Token& Current() const { return tokens_[at_]; }
  const Token& Ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void Advance() { at_ = std::min(at_ + 1, tokens_.size() - 1); }
  bool IsOperator(std::string_view text) const;
  bool IsName(std::string_view text) const;
  bool SkipOperator(std::string_view text);
  bool SkipName(std::string_view text);
  void ExpectOperator(std::string_view text);
  void Expect(TokenKind kind, std::string_view what);
  std::string ExpectName();
  [[noreturn]] void FailHere(std::string_view message) const;
  [[noreturn]] void FailUnexpected(std::string_view expected) const;

  int NameId(const std::string& name);
  void Declare(int name_id) { declared_.insert(name_id); }

  ExprPtr ParseExpression(bool with_condition = true);
  // A tuple where commas say so, else one expression.
  ExprPtr ParseTuple(bool with_condition = true, bool is_parenthesized = false);
  ExprPtr ParseFilters(ExprPtr node, bool is_head);
  Target ParseTarget(bool with_attribute);
  Target ParseTargetItem(bool with_attribute);

  // Macros around the current place: which of caller, varargs, kwargs their bodies read.
  std::vector<Macro*> macros_;
  // Within a branch of `if`, where an unknown filter or test is an error only if it is reached.
  int branch_depth_ = 0;
  std::string_view origin_;
  Program program_;
  std::set<int> declared_;  // names that the template sets somewhere
  std::set<int> read_;

 private:
  ExprPtr Finish(MutableExpr node) const;
  MutableExpr Make(ExprKind kind, int line) const;
  ExprPtr MakeBinary(ExprKind kind, Op op, int line, ExprPtr left, ExprPtr right) const;
  ExprPtr ParseOr();
  ExprPtr ParseAnd();
  ExprPtr ParseNot();
  ExprPtr ParseCompare();
  ExprPtr ParseSum();
  ExprPtr ParseConcat();
  ExprPtr ParseProduct();
  ExprPtr ParsePower();
  ExprPtr ParseUnary(bool with_filters);
  ExprPtr ParsePrimary();
  ExprPtr ParseName();
  ExprPtr ParseNumber();
  ExprPtr ParseList();
  ExprPtr ParseDict();
  ExprPtr ParsePostfix(ExprPtr node);
  ExprPtr ParseSubscript(ExprPtr node);
  ExprPtr ParseSlice(ExprPtr node, ExprPtr first, int line);
  ExprPtr ParseFilterOrTestChain(ExprPtr node);
  ExprPtr ParseTest(ExprPtr node);
  ExprPtr ParseCall(ExprPtr node);
  Arguments ParseArguments();
  void MarkSpecial(int name_id);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  std::unordered_map<std::string, int> name_ids_;
};

}  // namespace retort::jinja
