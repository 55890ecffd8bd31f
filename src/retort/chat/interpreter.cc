#include "retort/chat/interpreter.h"

#include <algorithm>

#include "retort/chat/builtins.h"
#include "retort/chat/json_text.h"
#include "retort/chat/operations.h"
#include "retort/chat/scope.h"

namespace retort::jinja {
namespace {

enum class Flow { kNormal, kBreak, kContinue };

class Interpreter {
 public:
  Interpreter(const Program& program, const Json& context, const RenderOptions& options)
      : program_(program), context_(context), runtime_(options), globals_(program.names.size()) {}

  Text Run() {
    Text out;
    const auto root = std::make_shared<Scope>(nullptr);
    try {
      ExecBody(program_.body, root, out);
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}:{}: {}", program_.origin, line_, error.message()));
    }
    return out;
  }

  Value CallMacro(const Macro& macro, const ScopePtr& closure, const CallArgs& args);
  Value RecurseLoop(const Stmt& stmt, const ScopePtr& closure, const Value& items, int64_t depth);

 private:
  // --- statements
  Flow ExecBody(const Body& body, const ScopePtr& scope, Text& out);
  Flow Exec(const Stmt& stmt, const ScopePtr& scope, Text& out);
  Flow ExecIf(const Stmt& stmt, const ScopePtr& scope, Text& out);
  void ExecFor(const Stmt& stmt, const ScopePtr& scope, Text& out);
  Flow ExecLoop(const Stmt& stmt, const ScopePtr& scope, const Value& items, int64_t depth,
                Text& out);
  void ExecSet(const Stmt& stmt, const ScopePtr& scope);
  Flow ExecSetBlock(const Stmt& stmt, const ScopePtr& scope);
  Flow ExecFilterBlock(const Stmt& stmt, const ScopePtr& scope, Text& out);
  Flow ExecWith(const Stmt& stmt, const ScopePtr& scope, Text& out);
  void ExecCallBlock(const Stmt& stmt, const ScopePtr& scope, Text& out);
  Value MakeMacro(const Macro& macro, const ScopePtr& scope);
  void Assign(const Target& target, const ScopePtr& scope, const Value& value);
  void Write(const Value& value, Text& out);
  void WriteText(const Text& text, Text& out);

  // --- expressions
  Value Eval(const Expr& expr, const ScopePtr& scope);
  Value EvalName(const Expr& expr, const ScopePtr& scope);
  Value EvalDict(const Expr& expr, const ScopePtr& scope);
  Value EvalSlice(const Expr& expr, const ScopePtr& scope);
  Value EvalCall(const Expr& expr, const ScopePtr& scope, const Value* caller);
  Value EvalFilter(const Expr& expr, const ScopePtr& scope, const Value* head);
  Value EvalTest(const Expr& expr, const ScopePtr& scope);
  Value EvalCompare(const Expr& expr, const ScopePtr& scope);
  Value EvalConcat(const Expr& expr, const ScopePtr& scope);
  Value EvalCondition(const Expr& expr, const ScopePtr& scope);
  std::vector<Value> EvalAll(const std::vector<ExprPtr>& exprs, const ScopePtr& scope);
  CallArgs EvalArguments(const Arguments& arguments, const ScopePtr& scope);
  Value ReadName(int name_id, const ScopePtr& scope);

  // Marks a scope, and those around it, as referred to by a value that may outlive them.
  void KeepScopes(ScopePtr scope);

  const Program& program_;
  const Json& context_;
  Runtime runtime_;
  std::vector<std::optional<Value>> globals_;  // by name id: of the context, or global functions
  int line_ = 0;
};

class MacroObject : public Object {
 public:
  MacroObject(Interpreter& interpreter, const Macro& macro, ScopePtr closure)
      : interpreter_(interpreter), macro_(macro), closure_(std::move(closure)) {}
  std::string TypeName() const override { return "Macro"; }
  std::string Repr() const override { return fmt::format("<Macro '{}'>", macro_.name); }
  bool is_callable() const override { return true; }
  bool GetAttribute(Runtime&, std::string_view name, Value* value) override {
    if (name == "name") {
      *value = Value::Str(macro_.name);
    } else if (name == "arguments") {
      std::vector<Value> names;
      for (const auto& [id, parameter] : macro_.parameters) names.push_back(Value::Str(parameter));
      *value = Value::Tuple(std::move(names));
    } else if (name == "caller") {
      *value = Value::Bool(macro_.uses_caller);
    } else if (name == "catch_kwargs") {
      *value = Value::Bool(macro_.uses_kwargs);
    } else if (name == "catch_varargs") {
      *value = Value::Bool(macro_.uses_varargs);
    } else {
      return false;
    }
    return true;
  }
  Value Call(Runtime&, const CallArgs& args) override {
    return interpreter_.CallMacro(macro_, closure_, args);
  }

 private:
  Interpreter& interpreter_;
  const Macro& macro_;
  ScopePtr closure_;
};

// What a template sees as `loop`.
class Loop : public Object {
 public:
  Loop(Runtime& runtime, const Value& items, int64_t depth)
      : Object(items.depth() + 1),
        runtime_(runtime),
        iterator_(jinja::Iterate(items)),
        length_(LengthOf(items)),
        has_content_(items.HasContent()),
        depth0_(depth) {}

  bool Advance() {
    previous_ = current_;
    if (next_) {
      current_ = std::move(next_);
      next_.reset();
    } else {
      Value value;
      if (!iterator_->Next(runtime_, &value)) return false;
      current_ = std::move(value);
    }
    ++index0_;
    return true;
  }
  const Value& current() const { return *current_; }
  int64_t depth0() const { return depth0_; }

  std::string TypeName() const override { return "LoopContext"; }
  std::string Repr() const override {
    return fmt::format("<LoopContext {}/{}>", index0_ + 1, length_);
  }
  bool HasContent() const override { return has_content_; }
  bool is_callable() const override { return true; }
  bool GetAttribute(Runtime& runtime, std::string_view name, Value* value) override;
  Value Call(Runtime& runtime, const CallArgs& args) override {
    if (!recurse) Fail("The loop must have the 'recursive' marker to be called recursively.");
    const BoundArgs bound("loop", args, {"iterable"}, 1);
    return recurse(runtime, bound[0]);
  }
  void Clear() override {
    recurse = nullptr;
    changed_.reset();
  }

  std::function<Value(Runtime&, const Value&)> recurse;
  std::weak_ptr<Loop> shared_from_loop;

 private:
  bool Peek() {
    if (next_) return true;
    Value value;
    if (!iterator_->Next(runtime_, &value)) return false;
    next_ = std::move(value);
    return true;
  }
  int64_t CountedLength() {
    if (length_ >= 0) return length_;
    std::vector<Value> rest;
    if (next_) rest.push_back(*next_);
    for (Value value; iterator_->Next(runtime_, &value);) {
      runtime_.Spend(1);
      rest.push_back(std::move(value));
    }
    next_.reset();
    length_ = index0_ + 1 + static_cast<int64_t>(rest.size());
    iterator_ = jinja::Iterate(Value::List(std::move(rest)));
    return length_;
  }
  Value Changed(const CallArgs& args);
  Value Cycle(const CallArgs& args) const {
    if (args.positional.empty()) Fail("no items for cycling given");
    return args.positional[static_cast<size_t>(index0_) % args.positional.size()];
  }

  Runtime& runtime_;
  std::unique_ptr<Iterator> iterator_;
  int64_t length_;
  bool has_content_;
  int64_t depth0_;
  int64_t index0_ = -1;
  std::optional<Value> previous_;
  std::optional<Value> current_;
  std::optional<Value> next_;
  std::optional<Value> changed_;
};

Value Loop::Changed(const CallArgs& args) {
  Value now = Value::Tuple(args.positional);
  if (changed_ && Equal(*changed_, now)) return Value::Bool(false);
  changed_ = std::move(now);
  return Value::Bool(true);
}

bool Loop::GetAttribute(Runtime& runtime, std::string_view name, Value* value) {
  if (name == "index") {
    *value = Value::Int(index0_ + 1);
  } else if (name == "index0") {
    *value = Value::Int(index0_);
  } else if (name == "first") {
    *value = Value::Bool(index0_ == 0);
  } else if (name == "last") {
    *value = Value::Bool(!Peek());
  } else if (name == "length") {
    *value = Value::Int(CountedLength());
  } else if (name == "revindex") {
    *value = Value::Int(CountedLength() - index0_);
  } else if (name == "revindex0") {
    *value = Value::Int(CountedLength() - index0_ - 1);
  } else if (name == "previtem") {
    *value = previous_ ? *previous_ : Value::Undefined("there is no previous item");
  } else if (name == "nextitem") {
    *value = Peek() ? *next_ : Value::Undefined("there is no next item");
  } else if (name == "depth") {
    *value = Value::Int(depth0_ + 1);
  } else if (name == "depth0") {
    *value = Value::Int(depth0_);
  } else if (name == "cycle" || name == "changed") {
    // Bound to this loop by a plain pointer: the loop is kept until the render ends.
    const bool is_cycle = name == "cycle";
    *value = Value::Of(std::make_shared<Function>("method", std::string(name),
                                                  [this, is_cycle](Runtime&, const CallArgs& args) {
                                                    return is_cycle ? Cycle(args) : Changed(args);
                                                  }));
    runtime.Keep(std::static_pointer_cast<Object>(shared_from_loop.lock()));
  } else {
    return false;
  }
  return true;
}

Value Interpreter::CallMacro(const Macro& macro, const ScopePtr& closure, const CallArgs& args) {
  const int line = line_;
  const auto scope = std::make_shared<Scope>(closure);
  const size_t num_parameters = macro.parameters.size();
  const size_t num_given = std::min(args.positional.size(), num_parameters);
  for (size_t i = 0; i < num_given; ++i) scope->Set(macro.parameters[i].first, args.positional[i]);

  std::vector<std::pair<Value, Value>> extra;
  Value caller = Value::Undefined("No caller defined");
  std::vector<bool> is_given(num_parameters, false);
  std::fill_n(is_given.begin(), num_given, true);
  for (const auto& [name, value] : args.named) {
    const auto parameter = std::find_if(macro.parameters.begin(), macro.parameters.end(),
                                        [&](const auto& p) { return p.second == name; });
    const auto i = static_cast<size_t>(parameter - macro.parameters.begin());
    if (i < num_parameters && !is_given[i]) {
      scope->Set(parameter->first, value);
      is_given[i] = true;
    } else if (name == "caller" && macro.uses_caller) {
      caller = value;
    } else if (macro.uses_kwargs) {
      extra.emplace_back(Value::Str(name), value);
    } else if (name == "caller") {
      Fail("macro '{}' was invoked with two values for the special caller argument", macro.name);
    } else {
      Fail("macro '{}' takes no keyword argument '{}'", macro.name, name);
    }
  }
  if (args.positional.size() > num_parameters && !macro.uses_varargs) {
    Fail("macro '{}' takes not more than {} argument(s)", macro.name, num_parameters);
  }
  if (macro.uses_caller) scope->Set(kCallerName, caller);
  if (macro.uses_kwargs) scope->Set(kKwargsName, Value::Dict(std::move(extra)));
  if (macro.uses_varargs) {
    scope->Set(kVarargsName,
               Value::Tuple({args.positional.begin() + static_cast<std::ptrdiff_t>(num_given),
                             args.positional.end()}));
  }
  const size_t first_default = num_parameters - macro.defaults.size();
  for (size_t i = 0; i < num_parameters; ++i) {
    if (is_given[i]) continue;
    const auto& [id, name] = macro.parameters[i];
    scope->Set(id, i >= first_default
                       ? Eval(*macro.defaults[i - first_default], scope)
                       : Value::Undefined(fmt::format("parameter '{}' was not provided", name)));
  }
  Text out;
  ExecBody(macro.body, scope, out);
  line_ = line;
  return runtime_.Str(std::move(out));
}

Flow Interpreter::ExecBody(const Body& body, const ScopePtr& scope, Text& out) {
  for (const auto& stmt : body) {
    const Flow flow = Exec(*stmt, scope, out);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Flow Interpreter::Exec(const Stmt& stmt, const ScopePtr& scope, Text& out) {
  DepthGuard guard(runtime_);
  runtime_.Spend(1);
  line_ = stmt.line;
  switch (stmt.kind) {
    case StmtKind::kText:
      WriteText(stmt.text.text(), out);
      return Flow::kNormal;
    case StmtKind::kOutput:
      Write(Eval(*stmt.expr, scope), out);
      return Flow::kNormal;
    case StmtKind::kIf:
      return ExecIf(stmt, scope, out);
    case StmtKind::kFor:
      ExecFor(stmt, scope, out);
      return Flow::kNormal;
    case StmtKind::kSet:
      ExecSet(stmt, scope);
      return Flow::kNormal;
    case StmtKind::kSetBlock:
      return ExecSetBlock(stmt, scope);
    case StmtKind::kWith:
      return ExecWith(stmt, scope, out);
    case StmtKind::kMacro:
      Assign(stmt.target, scope, MakeMacro(*stmt.macro, scope));
      return Flow::kNormal;
    case StmtKind::kCallBlock:
      ExecCallBlock(stmt, scope, out);
      return Flow::kNormal;
    case StmtKind::kFilterBlock:
      return ExecFilterBlock(stmt, scope, out);
    case StmtKind::kScope:
      return ExecBody(stmt.body, std::make_shared<Scope>(scope), out);
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Flow Interpreter::ExecIf(const Stmt& stmt, const ScopePtr& scope, Text& out) {
  for (const Branch& branch : stmt.branches) {
    if (!branch.condition || Truthy(Eval(*branch.condition, scope))) {
      return ExecBody(branch.body, scope, out);
    }
  }
  return Flow::kNormal;
}

void Interpreter::ExecFor(const Stmt& stmt, const ScopePtr& scope, Text& out) {
  ExecLoop(stmt, scope, Eval(*stmt.expr, scope), 0, out);
}

Flow Interpreter::ExecLoop(const Stmt& stmt, const ScopePtr& scope, const Value& all_items,
                           int64_t depth, Text& out) {
  Value items = all_items;
  if (stmt.condition) {
    // The filter sees only the loop's targets, not `loop`; items are let through one by one.
    std::shared_ptr<Iterator> source = Iterate(items);
    items = Value::Of(std::make_shared<Generator>(
        "generator",
        [this, &stmt, scope, source](Runtime& runtime, Value* value) {
          while (source->Next(runtime, value)) {
            runtime.Spend(1);
            const auto filter_scope = std::make_shared<Scope>(scope);
            filter_scope->Set(kLoopName, Value::Undefined("'loop' is undefined"));
            Assign(stmt.target, filter_scope, *value);
            if (Truthy(Eval(*stmt.condition, filter_scope))) return true;
          }
          return false;
        },
        items.depth(), items.HasContent()));
    KeepScopes(scope);
  }
  const auto loop = std::make_shared<Loop>(runtime_, items, depth);
  loop->shared_from_loop = loop;
  if (stmt.is_recursive) {
    KeepScopes(scope);
    runtime_.Keep(loop);
    loop->recurse = [this, &stmt, scope, depth](Runtime&, const Value& children) {
      return RecurseLoop(stmt, scope, children, depth + 1);
    };
  }
  bool has_run = false;
  ScopePtr body_scope;
  while (loop->Advance()) {
    has_run = true;
    runtime_.Spend(1);
    if (body_scope && body_scope.use_count() == 1) {
      body_scope->Clear();
    } else {
      body_scope = std::make_shared<Scope>(scope);
    }
    body_scope->Set(kLoopName, Value::Of(loop));
    Assign(stmt.target, body_scope, loop->current());
    if (ExecBody(stmt.body, body_scope, out) == Flow::kBreak) break;
  }
  if (!has_run) return ExecBody(stmt.else_body, std::make_shared<Scope>(scope), out);
  return Flow::kNormal;
}

Value Interpreter::RecurseLoop(const Stmt& stmt, const ScopePtr& closure, const Value& items,
                               int64_t depth) {
  const int line = line_;
  Text out;
  ExecLoop(stmt, closure, items, depth, out);
  line_ = line;
  return runtime_.Str(std::move(out));
}

void Interpreter::ExecSet(const Stmt& stmt, const ScopePtr& scope) {
  Assign(stmt.target, scope, Eval(*stmt.expr, scope));
}

Flow Interpreter::ExecSetBlock(const Stmt& stmt, const ScopePtr& scope) {
  Text text;
  const Flow flow = ExecBody(stmt.body, std::make_shared<Scope>(scope), text);
  if (flow != Flow::kNormal) return flow;
  Value value = runtime_.Str(std::move(text));
  Assign(stmt.target, scope, stmt.expr ? EvalFilter(*stmt.expr, scope, &value) : value);
  return Flow::kNormal;
}

Flow Interpreter::ExecFilterBlock(const Stmt& stmt, const ScopePtr& scope, Text& out) {
  Text text;
  const auto inner = std::make_shared<Scope>(scope);
  const Flow flow = ExecBody(stmt.body, inner, text);
  if (flow != Flow::kNormal) return flow;
  const Value value = runtime_.Str(std::move(text));
  Write(EvalFilter(*stmt.expr, inner, &value), out);
  return Flow::kNormal;
}

Flow Interpreter::ExecWith(const Stmt& stmt, const ScopePtr& scope, Text& out) {
  const auto inner = std::make_shared<Scope>(scope);
  for (size_t i = 0; i < stmt.targets.size(); ++i) {
    Assign(stmt.targets[i], inner, Eval(*stmt.values[i], scope));
  }
  return ExecBody(stmt.body, inner, out);
}

void Interpreter::ExecCallBlock(const Stmt& stmt, const ScopePtr& scope, Text& out) {
  const Value caller = MakeMacro(*stmt.macro, scope);
  Write(EvalCall(*stmt.expr, scope, &caller), out);
}

Value Interpreter::MakeMacro(const Macro& macro, const ScopePtr& scope) {
  KeepScopes(scope);
  return Value::Of(std::make_shared<MacroObject>(*this, macro, scope));
}

void Interpreter::KeepScopes(ScopePtr scope) {
  for (; scope && !scope->is_kept; scope = scope->parent()) {
    scope->is_kept = true;
    runtime_.Keep(scope);
  }
}

void Interpreter::Assign(const Target& target, const ScopePtr& scope, const Value& value) {
  switch (target.kind) {
    case Target::Kind::kName:
      scope->Set(target.name_id, value);
      return;
    case Target::Kind::kAttribute: {
      const Value object = ReadName(target.name_id, scope);
      auto* space = object.is_object() ? dynamic_cast<Namespace*>(&object.object()) : nullptr;
      if (space == nullptr) Fail("cannot assign attribute on non-namespace object");
      space->SetAttribute(target.attribute, value);
      return;
    }
    case Target::Kind::kTuple:
      break;
  }
  RequireDefined(value);
  if (!IsIterable(value)) Fail("cannot unpack non-iterable {} object", TypeName(value));
  const std::vector<Value> items = ToVector(runtime_, value);
  if (items.size() != target.items.size()) {
    Fail("{} values to unpack (expected {}, got {})",
         items.size() < target.items.size() ? "not enough" : "too many", target.items.size(),
         items.size());
  }
  for (size_t i = 0; i < items.size(); ++i) Assign(target.items[i], scope, items[i]);
}

void Interpreter::Write(const Value& value, Text& out) {
  if (value.is_str()) {
    WriteText(value.text(), out);
  } else if (!value.is_undefined()) {
    WriteText(ToText(value), out);
  }
}

void Interpreter::WriteText(const Text& text, Text& out) {
  runtime_.SpendText(text.size());
  if (out.size() + text.size() > runtime_.options().text_bytes_max) {
    Throw(ErrorCode::kExhausted, "the output is longer than the {} bytes allowed",
          runtime_.options().text_bytes_max);
  }
  out.Append(text);
}

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
      return Value::Tuple(EvalAll(expr.children, scope));
    case ExprKind::kList:
      return Value::List(EvalAll(expr.children, scope));
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
      value = Value::Undefined(fmt::format("'{}' is undefined", name));
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
  return Value::Dict(std::move(items));
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
    args.named.emplace_back(name, Eval(*value, scope));
  if (arguments.star) {
    for (Value& value : ToVector(runtime_, Eval(*arguments.star, scope))) {
      args.positional.push_back(std::move(value));
    }
  }
  if (arguments.star_star) {
    const Value more = Eval(*arguments.star_star, scope);
    RequireDefined(more);
    if (!more.is_dict()) Fail("argument after ** must be a mapping, not {}", TypeName(more));
    for (const auto& [key, value] : more.dict().items) {
      if (!key.is_str()) Fail("keywords must be strings");
      for (const auto& [name, other] : args.named) {
        if (name == key.bytes()) Fail("got multiple values for keyword argument '{}'", name);
      }
      args.named.emplace_back(key.bytes(), value);
    }
  }
  return args;
}

Value Interpreter::EvalCall(const Expr& expr, const ScopePtr& scope, const Value* caller) {
  const Value callee = Eval(*expr.children[0], scope);
  CallArgs args = EvalArguments(expr.args, scope);
  if (caller != nullptr) args.named.emplace_back("caller", *caller);
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
  Text out;
  for (const ExprPtr& child : expr.children) Write(Eval(*child, scope), out);
  return Value::Str(std::move(out));
}

Value Interpreter::EvalCondition(const Expr& expr, const ScopePtr& scope) {
  if (Truthy(Eval(*expr.children[1], scope))) return Eval(*expr.children[0], scope);
  if (expr.children[2]) return Eval(*expr.children[2], scope);
  return Value::Undefined(fmt::format(
      "the inline if-expression on line {} evaluated to false and no else section was defined",
      expr.line));
}

}  // namespace

Text RenderProgram(const Program& program, const Json& context, const RenderOptions& options) {
  if (!context.is_object()) {
    Throw(ErrorCode::kInvalid, "{}: the context must be an object, found {}", program.origin,
          context.type_name());
  }
  return Interpreter(program, context, options).Run();
}

}  // namespace retort::jinja
