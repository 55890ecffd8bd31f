// Operands: literals, subscripts, calls, filters, tests, and targets of assignments.
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <unordered_set>

#include "retort/chat/builtins.h"
#include "retort/chat/expr_parser.h"

namespace retort::jinja {

ExprPtr ExprParser::ParsePrimary() {
  switch (Current().kind) {
    case TokenKind::kName:
      return ParseName();
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return ParseNumber();
    case TokenKind::kString: {
      auto node = Make(ExprKind::kConstant, Current().line);
      std::string text;
      for (; Current().kind == TokenKind::kString; Advance()) text += Current().text;
      node->constant = Value::Literal(text);
      return Finish(std::move(node));
    }
    default:
      break;
  }
  if (SkipOperator("(")) {
    ExprPtr node = ParseTuple(true, true);
    ExpectOperator(")");
    return node;
  }
  if (IsOperator("[")) return ParseList();
  if (IsOperator("{")) return ParseDict();
  FailHere(fmt::format("unexpected {}", Describe(Current())));
}

ExprPtr ExprParser::ParseName() {
  auto node = Make(ExprKind::kConstant, Current().line);
  const std::string name = Current().text;
  Advance();
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    node->constant = Value::Bool(name == "true" || name == "True");
  } else if (name == "none" || name == "None") {
    node->constant = Value::None();
  } else {
    node->kind = ExprKind::kName;
    node->name = name;
    node->name_id = NameId(name);
    read_.insert(node->name_id);
    MarkSpecial(node->name_id);
  }
  return Finish(std::move(node));
}

ExprPtr ExprParser::ParseNumber() {
  auto node = Make(ExprKind::kConstant, Current().line);
  const std::string& text = Current().text;
  const char* const end = text.data() + text.size();
  if (Current().kind == TokenKind::kFloat) {
    double value = 0;
    const auto result = std::from_chars(text.data(), end, value);
    // Out of range is infinity or zero in Python.
    if (result.ec == std::errc::result_out_of_range) value = std::strtod(text.c_str(), nullptr);
    node->constant = Value::Float(value);
  } else {
    int base = 10;
    const char letter = text.size() > 1 ? static_cast<char>(text[1] | 0x20) : '\0';
    if (letter == 'x') base = 16;
    if (letter == 'o') base = 8;
    if (letter == 'b') base = 2;
    int64_t value = 0;
    const auto result = std::from_chars(text.data() + (base == 10 ? 0 : 2), end, value, base);
    if (result.ec != std::errc()) FailHere("an integer does not fit 64 bits");
    node->constant = Value::Int(value);
  }
  Advance();
  return Finish(std::move(node));
}

ExprPtr ExprParser::ParseList() {
  auto node = Make(ExprKind::kList, Current().line);
  ExpectOperator("[");
  while (!IsOperator("]")) {
    if (!node->children.empty()) ExpectOperator(",");
    if (IsOperator("]")) break;
    node->children.push_back(ParseExpression());
  }
  ExpectOperator("]");
  return Finish(std::move(node));
}

ExprPtr ExprParser::ParseDict() {
  auto node = Make(ExprKind::kDict, Current().line);
  ExpectOperator("{");
  while (!IsOperator("}")) {
    if (!node->children.empty()) ExpectOperator(",");
    if (IsOperator("}")) break;
    node->children.push_back(ParseExpression());
    ExpectOperator(":");
    node->children.push_back(ParseExpression());
  }
  ExpectOperator("}");
  return Finish(std::move(node));
}

ExprPtr ExprParser::ParseTuple(bool with_condition, bool is_parenthesized) {
  Nesting nesting(*this);
  auto node = Make(ExprKind::kTuple, Current().line);
  bool is_tuple = false;
  const auto is_end = [&] {
    const TokenKind kind = Current().kind;
    return kind == TokenKind::kVariableEnd || kind == TokenKind::kBlockEnd || IsOperator(")");
  };
  while (true) {
    if (!node->children.empty()) ExpectOperator(",");
    if (is_end()) break;
    node->children.push_back(ParseExpression(with_condition));
    if (!IsOperator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!node->children.empty()) return std::move(node->children.front());
    if (!is_parenthesized) FailUnexpected("an expression");
  }
  return Finish(std::move(node));
}

ExprPtr ExprParser::ParsePostfix(ExprPtr node) {
  while (true) {
    if (IsOperator(".") || IsOperator("[")) {
      node = ParseSubscript(std::move(node));
    } else if (IsOperator("(")) {
      node = ParseCall(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExprParser::ParseSubscript(ExprPtr object) {
  const int line = Current().line;
  if (SkipOperator(".")) {
    if (Current().kind == TokenKind::kName) {
      auto node = Make(ExprKind::kGetAttr, line);
      node->name = ExpectName();
      node->constant = Value::Literal(node->name);
      node->children.push_back(std::move(object));
      return Finish(std::move(node));
    }
    if (Current().kind != TokenKind::kInteger) FailUnexpected("a name or a number after '.'");
    return MakeBinary(ExprKind::kGetItem, Op::kAdd, line, std::move(object), ParseNumber());
  }
  ExpectOperator("[");
  std::vector<ExprPtr> keys;
  while (!IsOperator("]")) {
    if (!keys.empty()) ExpectOperator(",");
    ExprPtr first = IsOperator(":") ? nullptr : ParseExpression();
    if (IsOperator(":")) {
      if (!keys.empty()) FailHere("a slice among several subscripts is not supported");
      object = ParseSlice(std::move(object), std::move(first), line);
      ExpectOperator("]");
      return object;
    }
    keys.push_back(std::move(first));
  }
  ExpectOperator("]");
  ExprPtr key;
  if (keys.size() == 1) {
    key = std::move(keys.front());
  } else {
    auto tuple = Make(ExprKind::kTuple, line);
    tuple->children = std::move(keys);
    key = Finish(std::move(tuple));
  }
  return MakeBinary(ExprKind::kGetItem, Op::kAdd, line, std::move(object), std::move(key));
}

ExprPtr ExprParser::ParseSlice(ExprPtr object, ExprPtr first, int line) {
  auto node = Make(ExprKind::kSlice, line);
  node->children.push_back(std::move(object));
  node->children.push_back(std::move(first));
  for (int part = 0; part < 2; ++part) {  // stop, step
    const bool has_part = SkipOperator(":") && !IsOperator(":") && !IsOperator("]");
    node->children.push_back(has_part ? ParseExpression() : nullptr);
  }
  return Finish(std::move(node));
}

ExprPtr ExprParser::ParseCall(ExprPtr callee) {
  auto node = Make(ExprKind::kCall, Current().line);
  node->children.push_back(std::move(callee));
  node->args = ParseArguments();
  return Finish(std::move(node));
}

Arguments ExprParser::ParseArguments() {
  Arguments args;
  const auto ensure = [&](bool is_allowed) {
    if (!is_allowed) FailHere("invalid syntax for function call expression");
  };
  ExpectOperator("(");
  bool is_first = true;
  std::unordered_set<std::string> names;
  while (!IsOperator(")")) {
    if (!is_first) ExpectOperator(",");
    if (!is_first && IsOperator(")")) break;
    is_first = false;
    if (SkipOperator("*")) {
      ensure(!args.star && !args.star_star);
      args.star = ParseExpression();
    } else if (SkipOperator("**")) {
      ensure(!args.star_star);
      args.star_star = ParseExpression();
    } else if (Current().kind == TokenKind::kName && Ahead().kind == TokenKind::kOperator &&
               Ahead().text == "=") {
      ensure(!args.star_star);
      std::string name = ExpectName();
      Advance();
      if (!names.insert(name).second) {
        FailHere(fmt::format("keyword argument {} is repeated", Shown(name)));
      }
      args.named.emplace_back(std::move(name), ParseExpression());
    } else {
      ensure(!args.star && !args.star_star && args.named.empty());
      args.positional.push_back(ParseExpression());
    }
  }
  ExpectOperator(")");
  return args;
}

ExprPtr ExprParser::ParseFilterOrTestChain(ExprPtr node) {
  while (true) {
    if (IsOperator("|")) {
      node = ParseFilters(std::move(node), false);
    } else if (IsName("is")) {
      node = ParseTest(std::move(node));
    } else if (IsOperator("(")) {
      node = ParseCall(std::move(node));  // calls may follow filters and tests too
    } else {
      return node;
    }
  }
}

ExprPtr ExprParser::ParseFilters(ExprPtr node, bool is_head) {
  while (is_head || IsOperator("|")) {
    if (!is_head) Advance();
    is_head = false;
    auto filter = Make(ExprKind::kFilter, Current().line);
    filter->name = ExpectName();
    while (SkipOperator(".")) filter->name += "." + ExpectName();
    filter->children.push_back(std::move(node));
    if (IsOperator("(")) filter->args = ParseArguments();
    filter->filter = FindFilter(filter->name);
    if (filter->filter == nullptr && branch_depth_ == 0) {
      FailSyntax(origin_, filter->line, UnknownFilterMessage(filter->name));
    }
    node = Finish(std::move(filter));
  }
  return node;
}

ExprPtr ExprParser::ParseTest(ExprPtr subject) {
  auto node = Make(ExprKind::kTest, Current().line);
  Advance();
  const bool is_negated = SkipName("not");
  node->name = ExpectName();
  while (SkipOperator(".")) node->name += "." + ExpectName();
  node->children.push_back(std::move(subject));
  const TokenKind kind = Current().kind;
  if (IsOperator("(")) {
    node->args = ParseArguments();
  } else if ((kind == TokenKind::kName || kind == TokenKind::kString ||
              kind == TokenKind::kInteger || kind == TokenKind::kFloat || IsOperator("[") ||
              IsOperator("{")) &&
             !IsName("else") && !IsName("or") && !IsName("and")) {
    if (IsName("is")) FailHere("tests cannot be chained with 'is'");
    node->args.positional.push_back(ParsePostfix(ParsePrimary()));
  }
  node->predicate = FindPredicate(node->name);
  if (node->predicate == nullptr && branch_depth_ == 0) {
    FailSyntax(origin_, node->line, UnknownPredicateMessage(node->name));
  }
  if (!is_negated) return Finish(std::move(node));
  auto negation = Make(ExprKind::kNot, node->line);
  negation->children.push_back(Finish(std::move(node)));
  return Finish(std::move(negation));
}

Target ExprParser::ParseTargetItem(bool with_attribute) {
  Nesting nesting(*this);
  Target target;
  target.line = Current().line;
  if (SkipOperator("(")) {
    target = ParseTarget(false);
    ExpectOperator(")");
    return target;
  }
  if (Current().kind != TokenKind::kName) {
    FailHere(fmt::format("can't assign to {}", Describe(Current())));
  }
  const std::string name = ExpectName();
  for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
    if (name == constant) FailHere("can't assign to a constant");
  }
  target.name_id = NameId(name);
  if (with_attribute && SkipOperator(".")) {
    target.kind = Target::Kind::kAttribute;
    target.attribute = ExpectName();
    read_.insert(target.name_id);
  } else {
    Declare(target.name_id);
  }
  return target;
}

Target ExprParser::ParseTarget(bool with_attribute) {
  Target tuple;
  tuple.kind = Target::Kind::kTuple;
  tuple.line = Current().line;
  bool is_tuple = false;
  while (true) {
    if (!tuple.items.empty()) ExpectOperator(",");
    const bool is_end = Current().kind == TokenKind::kBlockEnd || IsOperator(")");
    if (is_end) break;
    tuple.items.push_back(ParseTargetItem(with_attribute));
    if (!IsOperator(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return tuple;
  if (tuple.items.empty()) FailUnexpected("a name to assign to");
  Target only = std::move(tuple.items.front());
  return only;
}

}  // namespace retort::jinja
