#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "retort/grammar/grammar.h"
#include "retort/grammar/grammar_ir.h"
#include "retort/grammar/schema_resolver.h"

namespace retort {
class Sha256;
}

namespace retort::grammar {

// A subschema (or a constant) that must hold, or, with the lowest bit set, must not.
using Literal = uint32_t;
using Literals = std::vector<Literal>;  // sorted: all of them hold

// A set of property names.
struct KeySet {
  struct Atom {
    std::shared_ptr<const std::set<std::string>> names;
    std::vector<Regex> patterns;
    bool complement = false;
  };
  std::vector<Atom> atoms;  // their union
  bool complement = false;
};

// One alternative of an object in disjunctive normal form: all of this holds.
struct ObjectClause {
  std::vector<std::pair<std::string, Literals>> named;  // if there, then so
  std::vector<std::pair<KeySet, Literal>> sets;         // each such property
  std::vector<std::pair<KeySet, Literals>> owed;        // some such property
  std::vector<std::string> required;                    // distinct
  uint32_t min = 0;
  uint32_t max = kUnbounded;
  std::vector<KeySet::Atom> evaluated;
};

struct ArrayClause {
  struct Items {  // items first..last (inclusive) are so
    uint32_t first = 0;
    uint32_t last = kUnbounded;
    Literal literal = 0;
  };
  struct Counter {  // of the items first..last, between min and max are so
    uint32_t first = 0;
    uint32_t last = kUnbounded;
    Literal literal = 0;
    uint32_t min = 0;
    uint32_t max = kUnbounded;
  };
  std::vector<Items> items;
  std::vector<Counter> counters;
  uint32_t min = 0;
  uint32_t max = kUnbounded;
  bool unique = false;
  const SchemaValue* unique_at = nullptr;
  uint32_t evaluated_end = 0;
  Literals evaluated_if;  // items that are so count as evaluated
};

// Compiles one schema. A schema is taken as a formula and evaluated in each of four domains by one
// recursion with negation pushed inwards (schema_formula.h): strings and numbers as regular
// languages, true/false/null as truth values, objects and arrays in disjunctive normal form.
class SchemaCompiler {
 public:
  SchemaCompiler(std::string_view schema, const JsonSchemaOptions& options);
  // A part of a schema that is being compiled, for itself. `whole` must outlive it.
  SchemaCompiler(const SchemaCompiler& whole, const SchemaValue& part);
  std::shared_ptr<const Grammar> Compile(const std::string& digest);

  // --- used by the domains ---
  GrammarIr& ir() { return *ir_; }
  RegexPool& pool() { return ir_->pool; }
  const JsonSchemaOptions& options() const { return options_; }
  SchemaResolver& resolver() { return *resolver_; }
  void Spend(size_t steps, const SchemaValue& at);
  // Throws Error{kExhausted} that names the subschema at work.
  [[noreturn]] void TooMuch(const std::string& why) const;
  Literal LiteralOf(const SchemaValue& schema, uint32_t scope, bool positive);
  Literal ConstLiteral(const SchemaValue& value, bool positive);
  Literal EitherLiteral(Literal a, Literal b, const SchemaValue& at);  // a or b, positive literals
  struct LiteralInfo {
    const SchemaValue* value = nullptr;
    uint32_t scope = 0;
    enum class Kind { kSchema, kConst, kEither } kind = Kind::kSchema;
    Literal a = 0, b = 0;
  };
  const LiteralInfo& InfoOf(Literal literal) const { return literals_[literal >> 1]; }
  const SchemaValue* ResolveReference(const SchemaValue& schema, std::string_view keyword,
                                      const SchemaValue& reference, uint32_t scope);
  // Throws, or in lenient mode notes it.
  void Refuse(const SchemaValue& schema, std::string_view keyword, const std::string& why);
  [[noreturn]] void Invalid(const SchemaValue& schema, std::string_view keyword,
                            const std::string& why);
  void Warn(const SchemaValue& schema, const std::string& text);
  uint32_t CountOf(const SchemaValue& schema, std::string_view keyword, const SchemaValue& value);
  Regex PatternOf(const SchemaValue& schema, std::string_view keyword, const std::string& pattern);
  Regex StringsOf(const Literals& literals);
  // Certainly no value satisfies all of them. False when it is not found out cheaply.
  bool SurelyEmpty(const Literals& literals, int depth = 0);
  bool Contains(const KeySet& set, const std::string& name);
  Regex OthersIn(const KeySet& set);  // among names that no clause mentions

  std::vector<std::pair<Literal, int>>& active() { return active_; }
  bool tracks_properties() const { return tracks_properties_; }
  bool tracks_items() const { return tracks_items_; }

 private:
  enum Class : uint32_t {
    kNullClass = 1,
    kBoolClass = 2,
    kNumberClass = 4,
    kStringClass = 8,
    kArrayClass = 16,
    kObjectClass = 32
  };
  NodeId NodeFor(Literals literals);
  void Expand(NodeId node);
  Regex NumbersOf(const Literals& literals);
  bool Holds(const Literals& literals, int domain);
  uint32_t ClassesOf(Literal literal, int depth);
  void AddObject(ValueNode* node, const ObjectClause& clause);
  void AddArray(ValueNode* node, const ArrayClause& clause);
  void MakeUnique(uint32_t array);
  NodeId UniqueItemNode(NodeId item, uint64_t* num_values);
  void FindProductive();
  void Begin();
  void WarnOfWhatSaysNothing();
  std::vector<const SchemaValue*> PartsThatMustHold(const SchemaValue& schema);
  [[noreturn]] void ThrowContradiction();
  bool Conjoin(Literals* literals, const Literals& more);
  // What a value does or does not do for the container it is in: bit `number` of
  // ValueOption::meets.
  struct Demand {
    uint32_t number;
    Literals if_met;
    Literals if_not;
  };
  // A value of `base`, for every way to meet some of the demands that is possible.
  std::vector<ValueOption> OptionsOf(const Literals& base, const std::vector<Demand>& demands);

  JsonSchemaOptions options_;
  std::shared_ptr<GrammarIr> ir_;
  std::shared_ptr<SchemaResolver> resolver_;
  const SchemaValue* root_;
  std::shared_ptr<std::set<const SchemaValue*>> looked_at_;  // on the way to a contradiction
  Grammar::Report report_;
  std::unordered_set<std::string> noted_;
  std::vector<LiteralInfo> literals_;
  std::map<std::tuple<const SchemaValue*, uint32_t, int>, Literal> literal_index_;
  std::map<std::pair<Literal, Literal>, Literal> either_index_;
  std::vector<std::map<std::string, const SchemaValue*>> scopes_;
  std::map<Literals, NodeId> node_index_;
  std::vector<Literals> node_literals_;
  std::map<Literals, bool> empty_memo_;
  std::unordered_map<std::string, Regex> patterns_;
  std::vector<std::pair<Literal, int>> active_;
  NodeId expanding_ = kNoNode;
  std::unordered_map<Literal, Regex> string_memo_;
  std::unordered_map<Literal, Regex> number_memo_;
  std::unordered_map<uint32_t, const SchemaValue*> unique_at_;  // by array shape
  size_t steps_ = 0;
  bool tracks_properties_ = false;
  bool tracks_items_ = false;
};

// Names what the options make of a schema.
void AddToDigest(const JsonSchemaOptions& options, Sha256* digest);

// The names of every "format" that a draft defines.
std::span<const std::string_view> FormatNames();
// The language of one of them over code points; kNothing: it is not regular.
Regex FormatRegex(std::string_view name, const Limits& limits, RegexPool* pool);

// What a clause requires of an object with the shape's properties: whether it can be met at all.
bool CanBeMet(const ObjectShape& shape);
bool CanBeMet(const ArrayShape& shape, size_t steps_max);

}  // namespace retort::grammar
