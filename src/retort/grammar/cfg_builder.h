#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "retort/base/error.h"
#include "retort/grammar/grammar.h"
#include "retort/grammar/grammar_ir.h"

namespace retort::grammar {

// Right-hand side of a rule of a context-free grammar, as a front end reads it.
struct CfgExpr {
  enum class Kind {
    kRegex,
    kRef,
    kSequence,
    kChoice,
    kRepeat,
    kAnd,     // of regular parts
    kNot,     // of a regular part
    kGrammar  // another grammar as a whole
  };
  Kind kind = Kind::kSequence;
  Regex regex = kNothing;  // over code points
  std::string name;        // of a rule
  size_t position = 0;     // in the text, for errors
  std::vector<CfgExpr> parts;
  uint32_t min = 0;
  uint32_t max = kUnbounded;
  std::shared_ptr<const Grammar> grammar;

  // `part` again and again.
  static CfgExpr Repeat(CfgExpr part, uint32_t min, uint32_t max) {
    CfgExpr expr;
    expr.kind = Kind::kRepeat;
    expr.position = part.position;
    expr.min = min;
    expr.max = max;
    expr.parts.push_back(std::move(part));
    return expr;
  }
};

// Turns rules into the machine's form: what is regular becomes one token, so that the stack is only
// used where rules recurse; rules that can never end are dropped.
class CfgBuilder {
 public:
  CfgBuilder(std::string_view text, std::string_view origin, const Limits& limits);

  RegexPool& pool() { return ir_->pool; }
  void Add(const std::string& name, CfgExpr expr, size_t position);
  // As Add, of a rule that must be a regular language; Build refuses it otherwise.
  void AddRegular(const std::string& name, CfgExpr expr, size_t position);
  void Warn(const std::string& warning) { report_.warnings.push_back(warning); }
  void Note(const std::string& annotation) { report_.annotations.push_back(annotation); }
  void NoteIgnored(const std::string& ignored) { report_.ignored.push_back(ignored); }
  bool Has(const std::string& name) const { return index_.contains(name); }
  std::shared_ptr<const Grammar> Build(const std::string& root, const std::string& digest);
  // Throws with line and column.
  [[noreturn]] void Fail(ErrorCode code, size_t position, const std::string& why) const;

 private:
  struct Named {
    std::string name;
    CfgExpr expr;
    size_t position = 0;
    bool must_be_regular = false;
    enum class State { kNew, kActive, kDone } state = State::kNew;
    std::optional<Regex> regex;
    NodeId node = kNoNode;
  };
  std::optional<Regex> Regular(const CfgExpr& expr);
  std::optional<Regex> RegularRule(Named* rule);
  Named* Find(const CfgExpr& expr);
  NodeId NodeOf(Named* rule);
  NodeId NewRule();
  void Emit(NodeId node, const CfgExpr& expr);
  void Append(const CfgExpr& expr, std::vector<Symbol>* out);
  void AddAlternative(NodeId node, std::vector<Symbol> symbols);
  void DropUnproductive(const std::string& root);
  uint32_t Included(const CfgExpr& expr);

  std::string_view text_;
  std::string_view origin_;
  std::shared_ptr<GrammarIr> ir_;
  std::vector<std::unique_ptr<Named>> rules_;
  std::unordered_map<std::string, Named*> index_;
  std::vector<Named*> to_emit_;
  std::unordered_map<const Grammar*, uint32_t> included_;
  Grammar::Report report_;
  int depth_ = 0;
};

}  // namespace retort::grammar
