#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "retort/base/json.h"
#include "retort/chat/ast.h"
#include "retort/chat/runtime.h"
#include "retort/chat/scope.h"

namespace retort::jinja {

// Renders `program` once. Throws Error with origin and line.
Text RenderProgram(const Program& program, const Json& context, const RenderOptions& options);

enum class Flow { kNormal, kBreak, kContinue };

// One render of one program: walks the tree.
class Interpreter {
 public:
  Interpreter(const Program& program, const Json& context, const RenderOptions& options)
      : program_(program), context_(context), runtime_(options), globals_(program.names.size()) {}

  Text Run();

  Value CallMacro(const Macro& macro, const ScopePtr& closure, const CallArgs& args);
  Value RecurseLoop(const Stmt& stmt, const ScopePtr& closure, const Value& items, int64_t depth);

 private:
  // --- statements
  Flow ExecBody(const Body& body, const ScopePtr& scope, TextBuilder& out);
  Flow Exec(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Flow ExecIf(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out);
  void ExecFor(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Flow ExecLoop(const Stmt& stmt, const ScopePtr& scope, const Value& items, int64_t depth,
                TextBuilder& out);
  void ExecSet(const Stmt& stmt, const ScopePtr& scope);
  Flow ExecSetBlock(const Stmt& stmt, const ScopePtr& scope);
  Flow ExecFilterBlock(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Flow ExecWith(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out);
  void ExecCallBlock(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Value MakeMacro(const Macro& macro, const ScopePtr& scope);
  void Assign(const Target& target, const ScopePtr& scope, const Value& value);
  void Write(const Value& value, TextBuilder& out);

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

}  // namespace retort::jinja
