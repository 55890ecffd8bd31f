// Statements. Expressions are in evaluate.cc.
#include "retort/chat/interpreter.h"

#include <algorithm>

#include "retort/chat/loop.h"
#include "retort/chat/operations.h"

namespace retort::jinja {
namespace {

class MacroObject : public Object {
 public:
  MacroObject(Interpreter& interpreter, const Macro& macro, ScopePtr closure)
      : interpreter_(interpreter), macro_(macro), closure_(std::move(closure)) {}
  std::string TypeName() const override { return "Macro"; }
  std::string Repr() const override { return fmt::format("<Macro '{}'>", macro_.name); }
  bool is_callable() const override { return true; }
  bool GetAttribute(Runtime&, std::string_view name, Value* value) override {
    if (name == "name") {
      *value = macro_.name.empty() ? Value::None() : Value::Str(macro_.name);
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

}  // namespace

Text Interpreter::Run() {
  Text out;
  const auto root = std::make_shared<Scope>(nullptr);
  try {
    ExecBody(program_.body, root, out);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}:{}: {}", program_.origin, line_, error.message()));
  }
  return out;
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

Text RenderProgram(const Program& program, const Json& context, const RenderOptions& options) {
  if (!context.is_object()) {
    Throw(ErrorCode::kInvalid, "{}: the context must be an object, found {}", program.origin,
          context.type_name());
  }
  return Interpreter(program, context, options).Run();
}

}  // namespace retort::jinja
