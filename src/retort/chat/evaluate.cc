// Expressions of the interpreter.
#include <algorithm>

#include "retort/chat/builtins.h"
#include "retort/chat/interpreter.h"
#include "retort/chat/json_text.h"
#include "retort/chat/operations.h"

namespace retort::jinja {

Value Interpreter::Eval(const Expr& expr, const ScopePtr& scope) {
  DepthGuard guard(runtime_);
  runtime_.Spend(1);
  line_ = expr.line;
  const auto child = [&](size_t i) { return Eval(*expr.children[i], scope); };
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.constant;
    case ExprKind::kName:
      return EvalName(expr, scope);
    case ExprKind::kTuple:
      return runtime_.Tuple(EvalAll(expr.children, scope));
    case ExprKind::kList:
      return runtime_.List(EvalAll(expr.children, scope));
    case ExprKind::kDict:
      return EvalDict(expr, scope);
    case ExprKind::kGetAttr:
      return GetAttribute(runtime_, child(0), expr.name);
    case ExprKind::kGetItem: {
      const Value object = child(0);
      return GetItem(runtime_, object, child(1));
    }
    case ExprKind::kSlice:
      return EvalSlice(expr, scope);
    case ExprKind::kCall:
      return EvalCall(expr, scope, nullptr);
    case ExprKind::kFilter:
      return EvalFilter(expr, scope, nullptr);
    case ExprKind::kTest:
      return EvalTest(expr, scope);
    case ExprKind::kNot:
      return Value::Bool(!Truthy(child(0)));
    case ExprKind::kNegative:
      return Negate(child(0));
    case ExprKind::kPositive:
      return Posate(child(0));
    case ExprKind::kAnd: {
      Value left = child(0);
      return Truthy(left) ? child(1) : left;
    }
    case ExprKind::kOr: {
      Value left = child(0);
      return Truthy(left) ? left : child(1);
    }
    case ExprKind::kCompare:
      return EvalCompare(expr, scope);
    case ExprKind::kConcat:
      return EvalConcat(expr, scope);
    case ExprKind::kArithmetic: {
      const Value left = child(0);
      const Value right = child(1);
      return Arithmetic(runtime_, expr.op, left, right);
    }
    case ExprKind::kCondition:
      return EvalCondition(expr, scope);
  }
  return Value();
}

std::vector<Value> Interpreter::EvalAll(const std::vector<ExprPtr>& exprs, const ScopePtr& scope) {
  std::vector<Value> values;
  values.reserve(exprs.size());
  for (const ExprPtr& expr : exprs) values.push_back(Eval(*expr, scope));
  return values;
}

Value Interpreter::EvalName(const Expr& expr, const ScopePtr& scope) {
  return ReadName(expr.name_id, scope);
}

Value Interpreter::ReadName(int name_id, const ScopePtr& scope) {
  for (const Scope* at = scope.get(); at != nullptr; at = at->parent().get()) {
    runtime_.Spend(at->size() / kNamesPerStep);
    if (const Value* found = at->Find(name_id)) return *found;
  }
  std::optional<Value>& global = globals_[static_cast<size_t>(name_id)];
  if (!global) {
    const std::string& name = program_.names[static_cast<size_t>(name_id)];
    const auto in_context = context_.find(name);
    Value value;
    if (in_context != context_.end()) {
      const auto& trusted = runtime_.options().template_names;
      const bool is_template = std::find(trusted.begin(), trusted.end(), name) != trusted.end();
      value = FromJson(runtime_, *in_context, is_template);
    } else if (!FindGlobal(runtime_, name, &value)) {
      value = runtime_.Undefined(fmt::format("{} is undefined", Shown(name)));
    }
    global = std::move(value);
  }
  return *global;
}

Value Interpreter::EvalDict(const Expr& expr, const ScopePtr& scope) {
  std::vector<std::pair<Value, Value>> items;
  for (size_t i = 0; i + 1 < expr.children.size(); i += 2) {
    Value key = Eval(*expr.children[i], scope);
    items.emplace_back(std::move(key), Eval(*expr.children[i + 1], scope));
  }
  return runtime_.Dict(std::move(items));
}

Value Interpreter::EvalSlice(const Expr& expr, const ScopePtr& scope) {
  std::vector<Value> parts;
  for (const ExprPtr& part : expr.children) {
    parts.push_back(part ? Eval(*part, scope) : Value::None());
  }
  return Slice(runtime_, parts[0], parts[1], parts[2], parts[3]);
}

CallArgs Interpreter::EvalArguments(const Arguments& arguments, const ScopePtr& scope) {
  CallArgs args;
  args.positional = EvalAll(arguments.positional, scope);
  for (const auto& [name, value] : arguments.named)
    args.named.emplace_back(Text::Template(name), Eval(*value, scope));
  if (arguments.star) {
    for (Value& value : ToVector(runtime_, Eval(*arguments.star, scope))) {
      Append(runtime_, &args.positional, std::move(value));
    }
  }
  if (arguments.star_star) {
    const Value more = Eval(*arguments.star_star, scope);
    RequireDefined(more);
    if (!more.is_dict()) Fail("argument after ** must be a mapping, not {}", TypeName(more));
    for (const auto& [name, value] : args.named) {
      if (more.dict().Find(runtime_, name.view()) == nullptr) continue;
      Fail("got multiple values for keyword argument {}", Shown(name.view()));
    }
    for (const auto& [key, value] : more.dict().items) {
      if (!key.is_str()) Fail("keywords must be strings");
      runtime_.SpendText(key.bytes().size());
      args.named.emplace_back(key.text(), value);
    }
  }
  return args;
}

Value Interpreter::EvalCall(const Expr& expr, const ScopePtr& scope, const Value* caller) {
  const Value callee = Eval(*expr.children[0], scope);
  CallArgs args = EvalArguments(expr.args, scope);
  if (caller != nullptr) args.named.emplace_back(Text::Template("caller"), *caller);
  line_ = expr.line;
  return Call(runtime_, callee, args);
}

Value Interpreter::EvalFilter(const Expr& expr, const ScopePtr& scope, const Value* head) {
  if (expr.filter == nullptr) Fail("{}", UnknownFilterMessage(expr.name));
  const ExprPtr& child = expr.children[0];
  Value self;
  if (!child) {
    self = *head;
  } else if (head != nullptr) {  // only filters stand between a block's filter and its head
    DepthGuard guard(runtime_);
    self = EvalFilter(*child, scope, head);
  } else {
    self = Eval(*child, scope);
  }
  const CallArgs args = EvalArguments(expr.args, scope);
  line_ = expr.line;
  return expr.filter(runtime_, self, args);
}

Value Interpreter::EvalTest(const Expr& expr, const ScopePtr& scope) {
  if (expr.predicate == nullptr) Fail("{}", UnknownPredicateMessage(expr.name));
  const Value self = Eval(*expr.children[0], scope);
  const CallArgs args = EvalArguments(expr.args, scope);
  line_ = expr.line;
  return Value::Bool(expr.predicate(runtime_, self, args));
}

Value Interpreter::EvalCompare(const Expr& expr, const ScopePtr& scope) {
  Value left = Eval(*expr.children[0], scope);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    Value right = Eval(*expr.children[i + 1], scope);
    if (!CompareValues(runtime_, expr.ops[i], left, right)) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

Value Interpreter::EvalConcat(const Expr& expr, const ScopePtr& scope) {
  TextBuilder out(runtime_);
  for (const ExprPtr& child : expr.children) Write(Eval(*child, scope), out);
  return runtime_.StrBuilt(out.Take());
}

Value Interpreter::EvalCondition(const Expr& expr, const ScopePtr& scope) {
  if (Truthy(Eval(*expr.children[1], scope))) return Eval(*expr.children[0], scope);
  if (expr.children[2]) return Eval(*expr.children[2], scope);
  return runtime_.Undefined(fmt::format(
      "the inline if-expression on line {} evaluated to false and no else section was defined",
      expr.line));
}

}  // namespace retort::jinja
