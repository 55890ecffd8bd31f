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
  Text Repr(Runtime&) const override {
    return Text::Template(fmt::format("<Macro {}>", Shown(macro_.name)));
  }
  bool is_callable() const override { return true; }
  bool GetAttribute(Runtime& runtime, std::string_view name, Value* value) override {
    if (name == "name") {
      *value = macro_.name.empty() ? Value::None() : runtime.Str(macro_.name);
    } else if (name == "arguments") {
      std::vector<Value> names;
      for (const auto& [id, parameter] : macro_.parameters) {
        Append(runtime, &names, runtime.Str(parameter));
      }
      *value = runtime.Tuple(std::move(names));
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

// A span of the result, and the piece that a tokenizer makes of it.
constexpr uint64_t kSpanBytes = sizeof(Span) + 64;

// An error's text as far as it goes into a message: a template may write one of any length.
std::string CutMessage(const std::string& message) {
  if (message.size() <= kRenderMessageBytesMax) return message;
  size_t end = kRenderMessageBytesMax;
  while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xC0) == 0x80) --end;
  return fmt::format("{}... ({} bytes)", message.substr(0, end), message.size());
}

}  // namespace

Text Interpreter::Run() {
  TextBuilder out(runtime_);
  const auto root = runtime_.New<Scope>(nullptr);
  try {
    ExecBody(program_.body, root, out);
    runtime_.TakeBytes(out.text().runs().size() * kSpanBytes);
  } catch (const Error& error) {
    throw Error(error.code(),
                fmt::format("{}:{}: {}", program_.origin, line_, CutMessage(error.message())));
  }
  return out.Take();
}

Value Interpreter::CallMacro(const Macro& macro, const ScopePtr& closure, const CallArgs& args) {
  const int line = line_;
  const auto scope = runtime_.New<Scope>(closure);
  const size_t num_parameters = macro.parameters.size();
  runtime_.Spend(num_parameters);
  const size_t num_given = std::min(args.positional.size(), num_parameters);
  for (size_t i = 0; i < num_given; ++i)
    scope->Set(runtime_, macro.parameters[i].first, args.positional[i]);

  std::vector<std::pair<Value, Value>> extra;
  Value caller = runtime_.Undefined("No caller defined");
  std::vector<bool> is_given(num_parameters, false);
  std::fill_n(is_given.begin(), num_given, true);
  for (const auto& [name, value] : args.named) {
    runtime_.Spend(num_parameters / kNamesPerStep);
    const auto parameter = std::find_if(macro.parameters.begin(), macro.parameters.end(),
                                        [&](const auto& p) { return p.second == name.view(); });
    const auto i = static_cast<size_t>(parameter - macro.parameters.begin());
    if (i < num_parameters && !is_given[i]) {
      scope->Set(runtime_, parameter->first, value);
      is_given[i] = true;
    } else if (name.view() == "caller" && macro.uses_caller) {
      caller = value;
    } else if (macro.uses_kwargs) {
      extra.emplace_back(runtime_.Str(name), value);
    } else if (name.view() == "caller") {
      Fail("macro {} was invoked with two values for the special caller argument",
           Shown(macro.name));
    } else {
      Fail("macro {} takes no keyword argument {}", Shown(macro.name), Shown(name.view()));
    }
  }
  if (args.positional.size() > num_parameters && !macro.uses_varargs) {
    Fail("macro {} takes not more than {} argument(s)", Shown(macro.name), num_parameters);
  }
  if (macro.uses_caller) scope->Set(runtime_, kCallerName, caller);
  if (macro.uses_kwargs) scope->Set(runtime_, kKwargsName, runtime_.Dict(std::move(extra)));
  if (macro.uses_varargs) {
    scope->Set(runtime_, kVarargsName,
               runtime_.Tuple({args.positional.begin() + static_cast<std::ptrdiff_t>(num_given),
                               args.positional.end()}));
  }
  const size_t first_default = num_parameters - macro.defaults.size();
  for (size_t i = 0; i < num_parameters; ++i) {
    if (is_given[i]) continue;
    const auto& [id, name] = macro.parameters[i];
    scope->Set(runtime_, id,
               i >= first_default
                   ? Eval(*macro.defaults[i - first_default], scope)
                   : runtime_.Undefined(fmt::format("parameter {} was not provided", Shown(name))));
  }
  TextBuilder out(runtime_);
  ExecBody(macro.body, scope, out);
  line_ = line;
  return runtime_.StrBuilt(out.Take());
}

Flow Interpreter::ExecBody(const Body& body, const ScopePtr& scope, TextBuilder& out) {
  for (const auto& stmt : body) {
    const Flow flow = Exec(*stmt, scope, out);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Flow Interpreter::Exec(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out) {
  DepthGuard guard(runtime_);
  runtime_.Spend(1);
  line_ = stmt.line;
  switch (stmt.kind) {
    case StmtKind::kText:
      out.Append(stmt.text.text());
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
      return ExecBody(stmt.body, runtime_.New<Scope>(scope), out);
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

Flow Interpreter::ExecIf(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out) {
  for (const Branch& branch : stmt.branches) {
    if (!branch.condition || Truthy(Eval(*branch.condition, scope))) {
      return ExecBody(branch.body, scope, out);
    }
  }
  return Flow::kNormal;
}

void Interpreter::ExecFor(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out) {
  ExecLoop(stmt, scope, Eval(*stmt.expr, scope), 0, out);
}

Flow Interpreter::ExecLoop(const Stmt& stmt, const ScopePtr& scope, const Value& all_items,
                           int64_t depth, TextBuilder& out) {
  Value items = all_items;
  if (stmt.condition) {
    // The filter sees only the loop's targets, not `loop`; items are let through one by one.
    std::shared_ptr<Iterator> source = Iterate(items);
    items = MakeGenerator(
        runtime_, "generator",
        [this, &stmt, scope, source](Runtime& runtime, Value* value) {
          while (source->Next(runtime, value)) {
            runtime.Spend(1);
            const auto filter_scope = runtime.New<Scope>(scope);
            filter_scope->Set(runtime, kLoopName, runtime.Undefined("'loop' is undefined"));
            Assign(stmt.target, filter_scope, *value);
            if (Truthy(Eval(*stmt.condition, filter_scope))) return true;
          }
          return false;
        },
        items.depth(), items.HasContent());
    KeepScopes(scope);
  }
  const auto loop = runtime_.New<Loop>(runtime_, items, depth);
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
      body_scope = runtime_.New<Scope>(scope);
    }
    body_scope->Set(runtime_, kLoopName, Value::Of(loop));
    Assign(stmt.target, body_scope, loop->current());
    if (ExecBody(stmt.body, body_scope, out) == Flow::kBreak) break;
  }
  body_scope.reset();
  // Somebody keeps it: what it came to may be a loop before it, and so on.
  if (loop.use_count() > 1) runtime_.Keep(loop);
  if (!has_run) return ExecBody(stmt.else_body, runtime_.New<Scope>(scope), out);
  return Flow::kNormal;
}

Value Interpreter::RecurseLoop(const Stmt& stmt, const ScopePtr& closure, const Value& items,
                               int64_t depth) {
  const int line = line_;
  TextBuilder out(runtime_);
  ExecLoop(stmt, closure, items, depth, out);
  line_ = line;
  return runtime_.StrBuilt(out.Take());
}

void Interpreter::ExecSet(const Stmt& stmt, const ScopePtr& scope) {
  Assign(stmt.target, scope, Eval(*stmt.expr, scope));
}

Flow Interpreter::ExecSetBlock(const Stmt& stmt, const ScopePtr& scope) {
  TextBuilder text(runtime_);
  const Flow flow = ExecBody(stmt.body, runtime_.New<Scope>(scope), text);
  if (flow != Flow::kNormal) return flow;
  Value value = runtime_.StrBuilt(text.Take());
  Assign(stmt.target, scope, stmt.expr ? EvalFilter(*stmt.expr, scope, &value) : value);
  return Flow::kNormal;
}

Flow Interpreter::ExecFilterBlock(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out) {
  TextBuilder text(runtime_);
  const auto inner = runtime_.New<Scope>(scope);
  const Flow flow = ExecBody(stmt.body, inner, text);
  if (flow != Flow::kNormal) return flow;
  const Value value = runtime_.StrBuilt(text.Take());
  Write(EvalFilter(*stmt.expr, inner, &value), out);
  return Flow::kNormal;
}

Flow Interpreter::ExecWith(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out) {
  const auto inner = runtime_.New<Scope>(scope);
  for (size_t i = 0; i < stmt.targets.size(); ++i) {
    Assign(stmt.targets[i], inner, Eval(*stmt.values[i], scope));
  }
  return ExecBody(stmt.body, inner, out);
}

void Interpreter::ExecCallBlock(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out) {
  const Value caller = MakeMacro(*stmt.macro, scope);
  Write(EvalCall(*stmt.expr, scope, &caller), out);
}

Value Interpreter::MakeMacro(const Macro& macro, const ScopePtr& scope) {
  KeepScopes(scope);
  return Value::Of(runtime_.New<MacroObject>(*this, macro, scope));
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
      scope->Set(runtime_, target.name_id, value);
      return;
    case Target::Kind::kAttribute: {
      const Value object = ReadName(target.name_id, scope);
      auto* space = object.is_object() ? dynamic_cast<Namespace*>(&object.object()) : nullptr;
      if (space == nullptr) Fail("cannot assign attribute on non-namespace object");
      space->SetAttribute(runtime_, target.attribute, value);
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

void Interpreter::Write(const Value& value, TextBuilder& out) {
  if (value.is_str()) {
    out.Append(value.text());
  } else if (!value.is_undefined()) {
    out.Append(Repr(runtime_, value));
  } else if (runtime_.options().members_must_exist && value.is_missing_member()) {
    RequireDefined(value);
  }
}

Text RenderProgram(const Program& program, const Json& context, const RenderOptions& options) {
  if (!context.is_object()) {
    Throw(ErrorCode::kInvalid, "{}: the context must be an object, found {}", program.origin,
          context.type_name());
  }
  return Interpreter(program, context, options).Run();
}

}  // namespace retort::jinja
