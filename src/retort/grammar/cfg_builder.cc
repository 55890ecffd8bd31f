#include "retort/grammar/cfg_builder.h"

#include <algorithm>

#include "retort/base/error.h"

namespace retort::grammar {
namespace {

constexpr uint32_t kRepeatsOfRulesMax = 1000;

}  // namespace

CfgBuilder::CfgBuilder(std::string_view text, std::string_view origin, const Limits& limits)
    : text_(text), origin_(origin), ir_(std::make_shared<GrammarIr>(limits)) {
  if (text.size() > limits.text_bytes_max) {
    Throw(ErrorCode::kExhausted, "{}: longer than {} bytes", origin, limits.text_bytes_max);
  }
}

void CfgBuilder::Fail(ErrorCode code, size_t position, const std::string& why) const {
  size_t line = 1;
  size_t column = 1;
  for (size_t i = 0; i < std::min(position, text_.size()); ++i) {
    column = text_[i] == '\n' ? 1 : column + 1;
    line += text_[i] == '\n' ? 1 : 0;
  }
  Throw(code, "{}:{}:{}: {}", origin_, line, column, why);
}

void CfgBuilder::Add(const std::string& name, CfgExpr expr, size_t position) {
  if (Has(name)) Fail(ErrorCode::kInvalid, position, "rule '" + name + "' is defined twice");
  auto rule = std::make_unique<Named>();
  rule->name = name;
  rule->position = position;
  rule->expr = std::move(expr);
  index_[name] = rule.get();
  rules_.push_back(std::move(rule));
}

void CfgBuilder::AddRegular(const std::string& name, CfgExpr expr, size_t position) {
  Add(name, std::move(expr), position);
  rules_.back()->must_be_regular = true;
}

CfgBuilder::Named* CfgBuilder::Find(const CfgExpr& expr) {
  const auto it = index_.find(expr.name);
  if (it == index_.end()) {
    Fail(ErrorCode::kInvalid, expr.position, "no rule is named '" + expr.name + "'");
  }
  return it->second;
}

std::optional<Regex> CfgBuilder::RegularRule(Named* rule) {
  if (rule->state == Named::State::kActive) return {};  // recursive
  if (rule->state == Named::State::kNew) {
    if (++depth_ > ir_->limits.depth_max) {
      Fail(ErrorCode::kExhausted, rule->expr.position, "rules nest too deep");
    }
    rule->state = Named::State::kActive;
    rule->regex = Regular(rule->expr);
    rule->state = Named::State::kDone;
    --depth_;
  }
  return rule->regex;
}

// The language, if no rule in it leads back to a rule that is being looked at.
std::optional<Regex> CfgBuilder::Regular(const CfgExpr& expr) {
  switch (expr.kind) {
    case CfgExpr::Kind::kRegex:
      return expr.regex;
    case CfgExpr::Kind::kRef:
      return RegularRule(Find(expr));
    case CfgExpr::Kind::kRepeat: {
      const auto part = Regular(expr.parts[0]);
      if (!part) return {};
      return pool().Repeat(*part, expr.min, expr.max);
    }
    case CfgExpr::Kind::kGrammar:
      return {};
    default:
      break;
  }
  std::vector<Regex> parts;
  bool all = true;
  for (const CfgExpr& part : expr.parts) {
    const auto regex = Regular(part);
    all = all && regex.has_value();
    if (regex) parts.push_back(*regex);
  }
  if (!all) {
    if (expr.kind == CfgExpr::Kind::kAnd || expr.kind == CfgExpr::Kind::kNot) {
      Fail(ErrorCode::kUnsupported, expr.position,
           "'&' and '~' take regular languages only: no recursion, no %json");
    }
    return {};
  }
  if (expr.kind == CfgExpr::Kind::kAnd) return pool().And(parts);
  if (expr.kind == CfgExpr::Kind::kNot) return pool().Not(parts[0]);
  if (expr.kind == CfgExpr::Kind::kChoice) return pool().Or(parts);
  Regex result = kEpsilon;
  for (size_t i = parts.size(); i-- > 0;) result = pool().Cat(parts[i], result);
  return result;
}

uint32_t CfgBuilder::Included(const CfgExpr& expr) {
  const auto [it, is_new] = included_.try_emplace(expr.grammar.get(), 0);
  if (is_new) it->second = CopyGrammar(*expr.grammar->ir(), ir_.get());
  return it->second;
}

NodeId CfgBuilder::NewRule() {
  if (ir_->rules.size() >= ir_->limits.schema_nodes_max) {
    Throw(ErrorCode::kExhausted, "{}: more than {} rules", origin_, ir_->limits.schema_nodes_max);
  }
  ir_->rules.emplace_back();
  return static_cast<NodeId>(ir_->rules.size() - 1);
}

NodeId CfgBuilder::NodeOf(Named* rule) {
  if (rule->node == kNoNode) {
    rule->node = NewRule();
    to_emit_.push_back(rule);
  }
  return rule->node;
}

void CfgBuilder::AddAlternative(NodeId node, std::vector<Symbol> symbols) {
  ir_->rules[node].alternatives.push_back(static_cast<uint32_t>(ir_->symbols.size()));
  symbols.push_back({Symbol::Kind::kEnd, 0});
  ir_->symbols.insert(ir_->symbols.end(), symbols.begin(), symbols.end());
}

void CfgBuilder::Append(const CfgExpr& expr, std::vector<Symbol>* out) {
  if (const auto regex = Regular(expr)) {
    if (*regex == kEpsilon) return;
    // Neighbouring regular parts are one token.
    if (!out->empty() && out->back().kind == Symbol::Kind::kText) {
      out->back().value = pool().Cat(out->back().value, *regex);
    } else {
      out->push_back({Symbol::Kind::kText, *regex});
    }
    return;
  }
  switch (expr.kind) {
    case CfgExpr::Kind::kRef:
      out->push_back({Symbol::Kind::kNode, NodeOf(Find(expr))});
      return;
    case CfgExpr::Kind::kGrammar:
      out->push_back({Symbol::Kind::kNode, Included(expr)});
      return;
    case CfgExpr::Kind::kSequence:
      for (const CfgExpr& part : expr.parts) Append(part, out);
      return;
    default:
      break;
  }
  if (expr.kind == CfgExpr::Kind::kChoice) {
    const NodeId node = NewRule();
    Emit(node, expr);
    out->push_back({Symbol::Kind::kNode, node});
    return;
  }
  const uint32_t most = expr.max == kUnbounded ? expr.min : expr.max;
  if (most > kRepeatsOfRulesMax) {
    Fail(ErrorCode::kExhausted, expr.position, "a recursive part is repeated more than 1000 times");
  }
  for (uint32_t i = 0; i < expr.min; ++i) Append(expr.parts[0], out);
  if (expr.max == kUnbounded) {
    const NodeId loop = NewRule();
    std::vector<Symbol> again;
    Append(expr.parts[0], &again);
    again.push_back({Symbol::Kind::kNode, loop});
    AddAlternative(loop, std::move(again));
    AddAlternative(loop, {});
    out->push_back({Symbol::Kind::kNode, loop});
    return;
  }
  NodeId next = kNoNode;
  for (uint32_t i = expr.min; i < expr.max; ++i) {
    const NodeId node = NewRule();
    std::vector<Symbol> once;
    Append(expr.parts[0], &once);
    if (next != kNoNode) once.push_back({Symbol::Kind::kNode, next});
    AddAlternative(node, std::move(once));
    AddAlternative(node, {});
    next = node;
  }
  if (next != kNoNode) out->push_back({Symbol::Kind::kNode, next});
}

void CfgBuilder::Emit(NodeId node, const CfgExpr& expr) {
  if (expr.kind != CfgExpr::Kind::kChoice) {
    std::vector<Symbol> symbols;
    Append(expr, &symbols);
    AddAlternative(node, std::move(symbols));
    return;
  }
  std::vector<Regex> regular;
  for (const CfgExpr& part : expr.parts) {
    if (const auto regex = Regular(part)) {
      regular.push_back(*regex);
      continue;
    }
    std::vector<Symbol> symbols;
    Append(part, &symbols);
    AddAlternative(node, std::move(symbols));
  }
  if (!regular.empty()) {
    const Regex all = pool().Or(regular);
    AddAlternative(node, all == kEpsilon ? std::vector<Symbol>{}
                                         : std::vector<Symbol>{{Symbol::Kind::kText, all}});
  }
}

// Alternatives that can never be completed are taken out: no text may begin that cannot end.
void CfgBuilder::DropUnproductive(const std::string& root) {
  std::vector<bool> productive(ir_->rules.size(), false);
  const auto ends = [&](uint32_t at) {
    for (; ir_->symbols[at].kind != Symbol::Kind::kEnd; ++at) {
      const Symbol& symbol = ir_->symbols[at];
      if (symbol.kind != Symbol::Kind::kNode) {
        if (pool().IsEmpty(symbol.value)) return false;
      } else if ((symbol.value & kValueBit) == 0 && !productive[symbol.value]) {
        return false;  // a JSON value always has an instance: its compiler saw to it
      }
    }
    return true;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < ir_->rules.size(); ++i) {
      const auto& alternatives = ir_->rules[i].alternatives;
      if (productive[i] || !std::any_of(alternatives.begin(), alternatives.end(), ends)) continue;
      productive[i] = changed = true;
    }
  }
  for (Rule& rule : ir_->rules) {
    std::erase_if(rule.alternatives, [&](uint32_t at) { return !ends(at); });
  }
  if (!productive[ir_->root]) {
    Throw(ErrorCode::kInvalid, "{}: no text at all is derived from '{}'", origin_, root);
  }
}

std::shared_ptr<const Grammar> CfgBuilder::Build(const std::string& root,
                                                 const std::string& digest) {
  const auto it = index_.find(root);
  if (it == index_.end()) Fail(ErrorCode::kInvalid, 0, "no rule is named '" + root + "'");
  // Every reference must name something, used or not.
  std::vector<const CfgExpr*> stack;
  for (const auto& rule : rules_) stack.push_back(&rule->expr);
  while (!stack.empty()) {
    const CfgExpr* expr = stack.back();
    stack.pop_back();
    if (expr->kind == CfgExpr::Kind::kRef) Find(*expr);
    for (const CfgExpr& part : expr->parts) stack.push_back(&part);
  }
  for (const auto& rule : rules_) {
    if (rule->must_be_regular && !RegularRule(rule.get())) {
      Fail(ErrorCode::kInvalid, rule->position,
           "terminal '" + rule->name + "' is no regular language: it recurses or holds a %json");
    }
  }
  // A rule is regular only if nothing it reaches leads back to it; a rule met inside a cycle may be
  // judged recursive on the way, which costs a stack frame and nothing else.
  const NodeId node = NodeOf(it->second);
  for (size_t i = 0; i < to_emit_.size(); ++i) {
    Named* rule = to_emit_[i];
    if (const auto regex = RegularRule(rule)) {
      AddAlternative(rule->node, *regex == kEpsilon
                                     ? std::vector<Symbol>{}
                                     : std::vector<Symbol>{{Symbol::Kind::kText, *regex}});
    } else {
      Emit(rule->node, rule->expr);
    }
  }
  ir_->root_is_rule = true;
  ir_->root = node;
  DropUnproductive(root);
  NumberNodes(ir_.get());
  return std::make_shared<const Grammar>(ir_, std::move(report_), digest);
}

}  // namespace retort::grammar
