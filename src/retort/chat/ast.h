#pragma once

#include <memory>
#include <string>
#include <vector>

#include "retort/chat/template.h"
#include "retort/chat/value.h"

namespace retort::jinja {

enum class ExprKind : uint8_t {
  kConstant,    // constant
  kName,        // name
  kTuple,       // children
  kList,        // children
  kDict,        // children: key, value, key, value ...
  kGetAttr,     // children[0] . name
  kGetItem,     // children[0] [ children[1] ]
  kSlice,       // children[0] [ children[1] : children[2] : children[3] ], null where left out
  kCall,        // children[0] ( args )
  kFilter,      // children[0] | name ( args ); children[0] is null at the head of a filter block
  kTest,        // children[0] is name ( args )
  kNot,         // children[0]
  kNegative,    // children[0]
  kPositive,    // children[0]
  kAnd,         // children[0], children[1]
  kOr,          // children[0], children[1]
  kCompare,     // children[0] ops[0] children[1] ops[1] children[2] ...
  kConcat,      // children, joined by ~
  kArithmetic,  // children[0] op children[1]
  kCondition,   // children[0] if children[1] else children[2] (null where left out)
};

enum class Op : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;       // *args
  ExprPtr star_star;  // **kwargs
};

using FilterFunction = Value (*)(Runtime&, const Value& self, const CallArgs& args);
using PredicateFunction = bool (*)(Runtime&, const Value& self, const CallArgs& args);

// One node of an expression; `kind` says which fields mean something.
struct Expr {
  ExprKind kind = ExprKind::kConstant;
  Op op = Op::kAdd;
  int line = 0;
  int depth = 1;     // of the tree below, itself included
  int name_id = -1;  // kName: index into Program::names
  std::string name;
  Value constant;
  std::vector<ExprPtr> children;
  std::vector<Op> ops;
  Arguments args;
  // Null if no such filter or test exists: an error where it is reached (in a branch of an `if`).
  FilterFunction filter = nullptr;
  PredicateFunction predicate = nullptr;
};

// Where a value is stored: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  enum class Kind { kName, kAttribute, kTuple } kind = Kind::kName;
  int line = 0;
  int name_id = -1;
  std::string attribute;
  std::vector<Target> items;
};

enum class StmtKind : uint8_t {
  kText,         // text
  kOutput,       // expr
  kIf,           // branches
  kFor,          // for target in expr if condition: body, else_body
  kSet,          // target = expr
  kSetBlock,     // target = body | expr (a filter chain, or null)
  kWith,         // targets[i] = values[i]: body
  kMacro,        // macro
  kCallBlock,    // expr is the call; macro is its caller
  kFilterBlock,  // body | expr
  kScope,        // body, in a scope of its own ({% generation %})
  kBreak,
  kContinue,
};

struct Stmt;
using Body = std::vector<std::unique_ptr<const Stmt>>;

struct Macro {
  std::string name;
  std::vector<std::pair<int, std::string>> parameters;  // (name id, name)
  std::vector<ExprPtr> defaults;                        // of the last parameters
  bool uses_caller = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
  Body body;
};

struct Branch {
  ExprPtr condition;  // null: else
  Body body;
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 0;
  bool is_recursive = false;
  Value text;
  ExprPtr expr;
  ExprPtr condition;
  Target target;
  std::vector<Target> targets;
  std::vector<ExprPtr> values;
  std::vector<Branch> branches;
  Body body;
  Body else_body;
  std::unique_ptr<const Macro> macro;
};

// Ids of names that the evaluator itself defines.
enum SpecialName : int { kLoopName, kCallerName, kVarargsName, kKwargsName, kNumSpecialNames };

// A parsed template. Immutable.
struct Program {
  std::string origin;
  std::vector<std::string> names;       // by id
  std::vector<std::string> free_names;  // sorted
  Body body;
};

}  // namespace retort::jinja
