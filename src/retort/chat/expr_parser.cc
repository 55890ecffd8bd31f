#include "retort/chat/expr_parser.h"

#include <algorithm>
#include <array>
#include <optional>

namespace retort::jinja {
namespace {

struct NamedOp {
  std::string_view text;
  Op op;
};

constexpr std::array<NamedOp, 6> kCompareOps = {{{"==", Op::kEqual},
                                                 {"!=", Op::kNotEqual},
                                                 {"<", Op::kLess},
                                                 {"<=", Op::kLessEqual},
                                                 {">", Op::kGreater},
                                                 {">=", Op::kGreaterEqual}}};

}  // namespace

ExprParser::ExprParser(std::vector<Token> tokens, std::string_view origin)
    : origin_(origin), tokens_(std::move(tokens)) {
  program_.origin = origin;
  for (const char* name : {"loop", "caller", "varargs", "kwargs"}) NameId(name);
}

ExprParser::Nesting::Nesting(ExprParser& parser) : parser_(parser) {
  if (++parser_.depth_ > kTemplateParseDepthMax) {
    --parser_.depth_;
    Throw(ErrorCode::kExhausted, "{}:{}: nested deeper than {} levels", parser_.origin_,
          parser_.Current().line, kTemplateParseDepthMax);
  }
}

bool ExprParser::IsOperator(std::string_view text) const {
  return Current().kind == TokenKind::kOperator && Current().text == text;
}

bool ExprParser::IsName(std::string_view text) const {
  return Current().kind == TokenKind::kName && Current().text == text;
}

bool ExprParser::SkipOperator(std::string_view text) {
  if (!IsOperator(text)) return false;
  Advance();
  return true;
}

bool ExprParser::SkipName(std::string_view text) {
  if (!IsName(text)) return false;
  Advance();
  return true;
}

void ExprParser::ExpectOperator(std::string_view text) {
  if (!SkipOperator(text)) FailUnexpected(fmt::format("'{}'", text));
}

void ExprParser::Expect(TokenKind kind, std::string_view what) {
  if (Current().kind != kind) FailUnexpected(what);
  Advance();
}

std::string ExprParser::ExpectName() {
  if (Current().kind != TokenKind::kName) FailUnexpected("a name");
  std::string name = Current().text;
  Advance();
  return name;
}

void ExprParser::FailHere(std::string_view message) const {
  FailSyntax(origin_, Current().line, message);
}

void ExprParser::FailUnexpected(std::string_view expected) const {
  FailHere(fmt::format("expected {}, got {}", expected, Describe(Current())));
}

int ExprParser::NameId(const std::string& name) {
  const auto [slot, is_new] = name_ids_.emplace(name, static_cast<int>(program_.names.size()));
  if (is_new) program_.names.push_back(name);
  return slot->second;
}

void ExprParser::MarkSpecial(int name_id) {
  for (Macro* macro : macros_) {
    if (name_id == kCallerName) macro->uses_caller = true;
    if (name_id == kVarargsName) macro->uses_varargs = true;
    if (name_id == kKwargsName) macro->uses_kwargs = true;
  }
}

ExprParser::MutableExpr ExprParser::Make(ExprKind kind, int line) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  return node;
}

// Every node passes here: long chains (a + b + c ...) make deep trees without deep recursion.
ExprPtr ExprParser::Finish(MutableExpr node) const {
  int depth = 0;
  const auto see = [&](const ExprPtr& child) {
    if (child) depth = std::max(depth, child->depth);
  };
  for (const ExprPtr& child : node->children) see(child);
  for (const ExprPtr& argument : node->args.positional) see(argument);
  for (const auto& [name, argument] : node->args.named) see(argument);
  see(node->args.star);
  see(node->args.star_star);
  node->depth = depth + 1;
  if (node->depth > kTemplateExpressionDepthMax) {
    Throw(ErrorCode::kExhausted, "{}:{}: an expression is deeper than {} operations", origin_,
          node->line, kTemplateExpressionDepthMax);
  }
  return node;
}

ExprPtr ExprParser::MakeBinary(ExprKind kind, Op op, int line, ExprPtr left, ExprPtr right) const {
  auto node = Make(kind, line);
  node->op = op;
  node->children.push_back(std::move(left));
  node->children.push_back(std::move(right));
  return Finish(std::move(node));
}

ExprPtr ExprParser::ParseExpression(bool with_condition) {
  Nesting nesting(*this);
  if (!with_condition) return ParseOr();
  ExprPtr node = ParseOr();
  while (IsName("if")) {
    auto condition = Make(ExprKind::kCondition, Current().line);
    Advance();
    ++branch_depth_;
    condition->children.push_back(std::move(node));
    condition->children.push_back(ParseOr());
    condition->children.push_back(SkipName("else") ? ParseExpression() : nullptr);
    --branch_depth_;
    node = Finish(std::move(condition));
  }
  return node;
}

ExprPtr ExprParser::ParseOr() {
  ExprPtr left = ParseAnd();
  while (IsName("or")) {
    const int line = Current().line;
    Advance();
    left = MakeBinary(ExprKind::kOr, Op::kAdd, line, std::move(left), ParseAnd());
  }
  return left;
}

ExprPtr ExprParser::ParseAnd() {
  ExprPtr left = ParseNot();
  while (IsName("and")) {
    const int line = Current().line;
    Advance();
    left = MakeBinary(ExprKind::kAnd, Op::kAdd, line, std::move(left), ParseNot());
  }
  return left;
}

ExprPtr ExprParser::ParseNot() {
  if (!IsName("not")) return ParseCompare();
  Nesting nesting(*this);
  auto node = Make(ExprKind::kNot, Current().line);
  Advance();
  node->children.push_back(ParseNot());
  return Finish(std::move(node));
}

ExprPtr ExprParser::ParseCompare() {
  const int line = Current().line;
  ExprPtr first = ParseSum();
  auto node = Make(ExprKind::kCompare, line);
  node->children.push_back(std::move(first));
  while (true) {
    std::optional<Op> op;
    for (const NamedOp& candidate : kCompareOps) {
      if (IsOperator(candidate.text)) op = candidate.op;
    }
    if (IsName("in")) op = Op::kIn;
    if (IsName("not") && Ahead().kind == TokenKind::kName && Ahead().text == "in") {
      Advance();
      op = Op::kNotIn;
    }
    if (!op) break;
    Advance();
    node->ops.push_back(*op);
    node->children.push_back(ParseSum());
  }
  if (node->ops.empty()) return std::move(node->children.front());
  return Finish(std::move(node));
}

ExprPtr ExprParser::ParseSum() {
  ExprPtr left = ParseConcat();
  while (IsOperator("+") || IsOperator("-")) {
    const Op op = IsOperator("+") ? Op::kAdd : Op::kSubtract;
    const int line = Current().line;
    Advance();
    left = MakeBinary(ExprKind::kArithmetic, op, line, std::move(left), ParseConcat());
  }
  return left;
}

ExprPtr ExprParser::ParseConcat() {
  ExprPtr first = ParseProduct();
  if (!IsOperator("~")) return first;
  auto node = Make(ExprKind::kConcat, Current().line);
  node->children.push_back(std::move(first));
  while (SkipOperator("~")) node->children.push_back(ParseProduct());
  return Finish(std::move(node));
}

ExprPtr ExprParser::ParseProduct() {
  static constexpr std::array<NamedOp, 4> kOps = {
      {{"*", Op::kMultiply}, {"/", Op::kDivide}, {"//", Op::kFloorDivide}, {"%", Op::kModulo}}};
  ExprPtr left = ParsePower();
  while (true) {
    const auto op = std::find_if(kOps.begin(), kOps.end(),
                                 [&](const NamedOp& named) { return IsOperator(named.text); });
    if (op == kOps.end()) return left;
    const int line = Current().line;
    Advance();
    left = MakeBinary(ExprKind::kArithmetic, op->op, line, std::move(left), ParsePower());
  }
}

ExprPtr ExprParser::ParsePower() {
  ExprPtr left = ParseUnary(true);
  while (IsOperator("**")) {
    const int line = Current().line;
    Advance();
    left = MakeBinary(ExprKind::kArithmetic, Op::kPower, line, std::move(left), ParseUnary(true));
  }
  return left;
}

ExprPtr ExprParser::ParseUnary(bool with_filters) {
  ExprPtr node;
  if (IsOperator("-") || IsOperator("+")) {
    Nesting nesting(*this);
    auto sign = Make(IsOperator("-") ? ExprKind::kNegative : ExprKind::kPositive, Current().line);
    Advance();
    sign->children.push_back(ParseUnary(false));
    node = Finish(std::move(sign));
  } else {
    node = ParsePrimary();
  }
  node = ParsePostfix(std::move(node));
  return with_filters ? ParseFilterOrTestChain(std::move(node)) : std::move(node);
}

}  // namespace retort::jinja
