#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "retort/grammar/regex_pool.h"

namespace retort::grammar {

// The one form that every front end is compiled to. A *node* is what may be pushed on the stack: a
// rule of a context-free grammar or a JSON value.
using NodeId = uint32_t;
inline constexpr NodeId kNoNode = UINT32_MAX;

// A way to take an item or a property: its value, and which of the container's obligations
// ("contains", "some property must ...") it meets.
struct ValueOption {
  NodeId node = kNoNode;
  uint32_t meets = 0;  // bits
};

struct ObjectShape {
  struct Property {
    std::u32string name;
    bool required = false;
    std::vector<ValueOption> options;  // empty: forbidden. The first meets nothing.
  };
  // Keys that no property names: disjoint, infinite (or too many to count) languages.
  struct KeyClass {
    Regex keys = kNothing;
    std::vector<ValueOption> options;
  };
  std::vector<Property> properties;  // in the declared order
  std::vector<KeyClass> classes;     // at most kKeyClassesMax
  bool any_order = false;            // properties may come in any order
  uint32_t obligations = 0;          // bits that must be met in the end
  uint32_t min_properties = 0;
  uint32_t max_properties = kUnbounded;
};
inline constexpr size_t kKeyClassesMax = 24;

struct ArrayShape {
  // Items of one index, or of all beyond the prefix. Exactly one option is taken for an item; where
  // several fit, all are followed.
  std::vector<std::vector<ValueOption>> prefix;
  std::vector<ValueOption> rest;
  struct Counter {  // bit i of ValueOption::meets counts here
    uint32_t min = 0;
    uint32_t max = kUnbounded;
  };
  std::vector<Counter> counters;
  uint32_t min_items = 0;
  uint32_t max_items = kUnbounded;
  bool unique = false;  // items are scalars, all of one language: that of rest's only option
};

struct ValueNode {
  Regex scalars = kNothing;  // over bytes: numbers, true, false, null
  Regex strings = kNothing;  // over decoded code points
  std::vector<uint32_t> objects;
  std::vector<uint32_t> arrays;
};

struct Symbol {
  enum class Kind : uint8_t { kBytes, kText, kNode, kEnd };
  Kind kind = Kind::kEnd;
  uint32_t value = 0;  // Regex or NodeId
};

struct Rule {
  std::vector<uint32_t> alternatives;  // where each begins in GrammarIr::symbols
};

struct GrammarIr {
  explicit GrammarIr(const Limits& limits) : limits(limits), pool(limits) {}

  Limits limits;
  RegexPool pool;
  // Nodes [0, values.size()) are JSON values; then come the rules.
  std::vector<ValueNode> values;
  std::vector<ObjectShape> objects;
  std::vector<ArrayShape> arrays;
  std::vector<Rule> rules;
  std::vector<Symbol> symbols;  // alternatives one after another, each ended by kEnd
  bool root_is_rule = false;
  uint32_t root = 0;  // index into values or rules
};

// While rules are still added, Symbol::value of a kNode is the rule's index, or a JSON value's with
// this bit; NumberNodes makes NodeIds of them once all are there.
inline constexpr uint32_t kValueBit = 1u << 31;
void NumberNodes(GrammarIr* ir);

// Copies `from`, which is complete, into `to`, which is not yet numbered. Returns what a kNode
// symbol of `to` holds to mean the whole of `from`. Throws Error{kExhausted} at `to`'s limits.
uint32_t CopyGrammar(const GrammarIr& from, GrammarIr* to);

}  // namespace retort::grammar
