// From normal forms to the machine's shapes, and which of them have a value at all.
#include <algorithm>
#include <bit>

#include "retort/base/error.h"
#include "retort/grammar/json_number.h"
#include "retort/grammar/regex_syntax.h"
#include "retort/grammar/schema_compiler.h"
#include "retort/grammar/schema_containers.h"
#include "retort/grammar/schema_formula.h"
#include "retort/grammar/schema_scalars.h"
#include "retort/grammar/utf8_text.h"

namespace retort::grammar {
namespace {

constexpr size_t kObligationsMax = 4;
constexpr uint32_t kPrefixMax = 1024;
constexpr uint64_t kDistinctMax = 4096;

// A language that is finite and small becomes names.
constexpr uint64_t kNamesFromPatternMax = 64;

}  // namespace

// Adds `more`; false if the two contradict each other.
bool SchemaCompiler::Conjoin(Literals* literals, const Literals& more) {
  literals->insert(literals->end(), more.begin(), more.end());
  std::sort(literals->begin(), literals->end());
  literals->erase(std::unique(literals->begin(), literals->end()), literals->end());
  std::erase_if(*literals, [&](Literal literal) {
    const LiteralInfo& info = literals_[literal >> 1];
    return info.kind == LiteralInfo::Kind::kSchema &&
           info.value->type == SchemaValue::Type::kBool && info.value->boolean == !(literal & 1);
  });
  for (size_t i = 0; i < literals->size(); ++i) {
    const Literal literal = (*literals)[i];
    const LiteralInfo& info = literals_[literal >> 1];
    if (info.kind == LiteralInfo::Kind::kSchema && info.value->type == SchemaValue::Type::kBool) {
      return false;
    }
    if (i + 1 < literals->size() && (literal ^ 1) == (*literals)[i + 1]) return false;
  }
  return true;
}

NodeId SchemaCompiler::NodeFor(Literals literals) {
  const auto [it, is_new] =
      node_index_.try_emplace(literals, static_cast<NodeId>(node_literals_.size()));
  if (is_new) {
    if (node_literals_.size() >= options_.limits.schema_nodes_max) {
      TooMuch(
          fmt::format("more than {} conjunctions of subschemas", options_.limits.schema_nodes_max));
    }
    node_literals_.push_back(std::move(literals));
    ir_->values.emplace_back();
  }
  return it->second;
}

void SchemaCompiler::Expand(NodeId node) {
  const Literals literals = node_literals_[node];
  ValueNode value;
  uint32_t classes = 63;
  for (const Literal literal : literals) classes &= ClassesOf(literal, 0);
  value.strings = classes & kStringClass ? StringsOf(literals) : kNothing;
  std::vector<Regex> scalars{classes & kNumberClass ? NumbersOf(literals) : kNothing};
  const std::pair<int, const char*> words[] = {{ScalarDomain::kNull, "null"},
                                               {ScalarDomain::kTrue, "true"},
                                               {ScalarDomain::kFalse, "false"}};
  for (const auto& [id, word] : words) {
    if ((classes & (id == ScalarDomain::kNull ? kNullClass : kBoolClass)) == 0) continue;
    if (Holds(literals, id)) scalars.push_back(pool().Bytes(word));
  }
  value.scalars = pool().Or(scalars);
  if (classes & kObjectClass) {
    ObjectDomain domain(*this);
    for (const ObjectClause& clause : FormulaAll(*this, domain, literals))
      AddObject(&value, clause);
  }
  if (classes & kArrayClass) {
    ArrayDomain domain(*this);
    for (const ArrayClause& clause : FormulaAll(*this, domain, literals)) AddArray(&value, clause);
  }
  ir_->values[node] = std::move(value);
}

// The ways to take a value that is `base` and may or may not meet each of `bits`: pairs of what it
// is if it counts, and what if not.
std::vector<ValueOption> SchemaCompiler::OptionsOf(const Literals& base,
                                                   const std::vector<Demand>& demands) {
  std::vector<ValueOption> options;
  for (uint32_t choice = 0; choice < 1u << demands.size(); ++choice) {
    Literals literals;
    uint32_t meets = 0;
    bool possible = Conjoin(&literals, base);
    for (size_t i = 0; possible && i < demands.size(); ++i) {
      const bool met = (choice >> i & 1) != 0;
      possible = Conjoin(&literals, met ? demands[i].if_met : demands[i].if_not);
      if (met) meets |= 1u << demands[i].number;
    }
    if (possible) options.push_back({NodeFor(std::move(literals)), meets});
  }
  return options;
}

void SchemaCompiler::AddObject(ValueNode* node, const ObjectClause& clause) {
  ObjectShape shape;
  shape.min_properties = clause.min;
  shape.max_properties = clause.max;
  shape.any_order = options_.property_order == JsonSchemaOptions::PropertyOrder::kAny;
  if (clause.owed.size() > kObligationsMax) {
    TooMuch(fmt::format("an object owes more than {} unnamed properties", kObligationsMax));
  }
  shape.obligations = (1u << clause.owed.size()) - 1;
  const auto options_of = [&](const Literals& own, const auto& contains) {
    Literals base = own;
    for (const auto& [set, literal] : clause.sets) {
      if (contains(set)) base.push_back(literal);
    }
    std::vector<Demand> demands;
    for (uint32_t i = 0; i < clause.owed.size(); ++i) {
      if (contains(clause.owed[i].first)) demands.push_back({i, clause.owed[i].second, {}});
    }
    return OptionsOf(base, demands);
  };
  std::vector<NamedString> names;
  std::unordered_set<std::string> known;
  const auto add_name = [&](const std::string& name, const Literals& literals, bool required) {
    if (!known.insert(name).second) return;
    ObjectShape::Property property;
    property.name = DecodeUtf8(name);
    property.required = required;
    property.options = options_of(literals, [&](const KeySet& set) { return Contains(set, name); });
    names.push_back({property.name, 0});
    shape.properties.push_back(std::move(property));
  };
  const std::unordered_set<std::string> required(clause.required.begin(), clause.required.end());
  for (const auto& [name, literals] : clause.named)
    add_name(name, literals, required.contains(name));
  for (const std::string& name : clause.required) add_name(name, {}, true);
  // Names that only a set tells apart, as where "additionalProperties" is negated.
  const auto add_names_of = [&](const KeySet& set) {
    for (const KeySet::Atom& atom : set.atoms) {
      if (atom.names == nullptr) continue;
      for (const std::string& name : *atom.names) add_name(name, {}, false);
    }
  };
  for (const auto& [set, literal] : clause.sets) add_names_of(set);
  for (const auto& [set, literals] : clause.owed) add_names_of(set);

  // Other names: split by every set that tells them apart.
  std::vector<Regex> languages;
  const auto note = [&](const KeySet& set) {
    const Regex r = OthersIn(set);
    if (r != kNothing && r != kEverything &&
        std::find(languages.begin(), languages.end(), r) == languages.end()) {
      languages.push_back(r);
    }
  };
  for (const auto& [set, literal] : clause.sets) note(set);
  for (const auto& [set, literals] : clause.owed) note(set);
  std::vector<Regex> classes{kEverything};
  for (const Regex language : languages) {
    std::vector<Regex> next;
    for (const Regex part : classes) {
      for (const Regex half :
           {pool().And(part, language), pool().And(part, pool().Not(language))}) {
        if (half != kNothing && !pool().IsEmpty(half)) next.push_back(half);
      }
    }
    classes = std::move(next);
    if (classes.size() > kKeyClassesMax) {
      TooMuch(fmt::format("patterns of names overlap in more than {} ways", kKeyClassesMax));
    }
  }
  for (const Regex part : classes) {
    const auto in_part = [&](const KeySet& set) {
      const Regex r = OthersIn(set);
      return r == kEverything || (r != kNothing && !pool().IsEmpty(pool().And(part, r)));
    };
    auto options = options_of({}, in_part);
    if (options.empty()) continue;
    Regex keys = part;
    std::vector<std::u32string> few;
    if (part != kEverything &&
        pool().Count(part, kNamesFromPatternMax, &few) < kNamesFromPatternMax) {
      std::sort(few.begin(), few.end());
      for (const std::u32string& name : few) {
        if (!known.insert(EncodeUtf8(name)).second) continue;
        shape.properties.push_back({name, false, options});
        names.push_back({name, 0});
      }
      continue;
    }
    shape.classes.push_back({keys, std::move(options)});
  }
  if (!names.empty()) {
    const Regex named = pool().Not(pool().Names(names));
    for (auto& key_class : shape.classes) key_class.keys = pool().And(key_class.keys, named);
    std::erase_if(shape.classes, [&](const auto& c) { return pool().IsEmpty(c.keys); });
  }
  node->objects.push_back(static_cast<uint32_t>(ir_->objects.size()));
  ir_->objects.push_back(std::move(shape));
}

void SchemaCompiler::AddArray(ValueNode* node, const ArrayClause& clause) {
  ArrayShape shape;
  shape.min_items = clause.min;
  shape.max_items = clause.max;
  if (clause.counters.size() > kObligationsMax) {
    TooMuch(fmt::format("more than {} conditions that count an array's items", kObligationsMax));
  }
  uint32_t prefix = 0;
  const auto reach = [&](uint32_t first, uint32_t last) {
    prefix = std::max(prefix, last == kUnbounded ? first : last + 1);
  };
  for (const auto& items : clause.items) reach(items.first, items.last);
  for (const auto& counter : clause.counters) {
    reach(counter.first, counter.last);
    shape.counters.push_back({counter.min, counter.max});
  }
  if (clause.max < prefix) prefix = clause.max;
  if (prefix > kPrefixMax) {
    TooMuch(fmt::format("more than {} items with schemas of their own", kPrefixMax));
  }
  const auto options_at = [&](uint32_t index) {
    Literals base;
    for (const auto& items : clause.items) {
      if (items.first <= index && index <= items.last) base.push_back(items.literal);
    }
    std::vector<Demand> demands;
    for (uint32_t i = 0; i < clause.counters.size(); ++i) {
      const auto& counter = clause.counters[i];
      if (index < counter.first || index > counter.last) continue;
      // With a maximum, an item that counts must be counted.
      demands.push_back({i, Literals{counter.literal},
                         counter.max == kUnbounded ? Literals{} : Literals{counter.literal ^ 1}});
    }
    return OptionsOf(base, demands);
  };
  for (uint32_t i = 0; i < prefix; ++i) shape.prefix.push_back(options_at(i));
  if (clause.max > prefix) shape.rest = options_at(prefix);
  shape.unique = clause.unique && clause.max > 1;
  if (shape.unique) {
    if (!shape.prefix.empty() || !shape.counters.empty()) {
      Refuse(*clause.unique_at, "uniqueItems", "beside prefixItems or contains");
      shape.unique = false;
    }
  }
  node->arrays.push_back(static_cast<uint32_t>(ir_->arrays.size()));
  if (shape.unique) unique_at_.emplace(node->arrays.back(), clause.unique_at);
  ir_->arrays.push_back(std::move(shape));
}

void SchemaCompiler::MakeUnique(uint32_t array) {
  const NodeId item = ir_->arrays[array].rest[0].node;
  if (!ir_->values[item].objects.empty() || !ir_->values[item].arrays.empty()) {
    Refuse(*unique_at_.at(array), "uniqueItems", "of items that may be arrays or objects");
    ir_->arrays[array].unique = false;
    return;
  }
  uint64_t num_values = 0;
  const NodeId node = UniqueItemNode(item, &num_values);
  ArrayShape& shape = ir_->arrays[array];
  shape.rest[0].node = node;
  if (num_values < kDistinctMax) {
    shape.max_items = std::min(shape.max_items, static_cast<uint32_t>(num_values));
  }
}

// A copy of an item's node in which equal values are told by their spelling; scalars only.
NodeId SchemaCompiler::UniqueItemNode(NodeId item, uint64_t* num_values) {
  ValueNode value = ir_->values[item];
  uint64_t count = 0;
  for (const char* word : {"null", "true", "false"}) {
    std::u32string text;
    for (const char* c = word; *c != 0; ++c) text += static_cast<char32_t>(*c);
    if (pool().Matches(value.scalars, text)) ++count;
  }
  const Regex numbers = pool().And(value.scalars, SpellableNumber(&pool()));
  std::vector<Regex> scalars{numbers};
  for (const char* word : {"null", "true", "false"}) {
    scalars.push_back(pool().And(value.scalars, pool().Bytes(word)));
  }
  value.scalars = pool().Or(scalars);
  // Each number once: without needless zeros.
  const Regex canonical = ParseRegex("0|-?(?:[1-9][0-9]*(?:\\.[0-9]*[1-9])?|0\\.[0-9]*[1-9])",
                                     RegexDialect::kEcma, false, options_.limits, &pool());
  count += pool().Count(pool().And(numbers, canonical), kDistinctMax, nullptr);
  if (value.strings != kNothing) count += pool().Count(value.strings, kDistinctMax, nullptr);
  *num_values = count;
  ir_->values.push_back(std::move(value));
  return static_cast<NodeId>(ir_->values.size() - 1);
}

// The least fixpoint: a node has a value if a scalar does, or a shape whose parts have. What has
// none is removed, so that nothing that may begin can fail to end.
void SchemaCompiler::FindProductive() {
  for (uint32_t i = 0; i < ir_->arrays.size(); ++i) {
    if (ir_->arrays[i].unique && !ir_->arrays[i].rest.empty()) MakeUnique(i);
  }
  std::vector<bool> productive(ir_->values.size(), false);
  std::vector<bool> object_good(ir_->objects.size(), false);
  std::vector<bool> array_good(ir_->arrays.size(), false);
  const auto prune = [&](std::vector<ValueOption> options) {
    std::erase_if(options, [&](const ValueOption& option) { return !productive[option.node]; });
    return options;
  };
  const auto pruned_object = [&](ObjectShape shape) {
    for (auto& property : shape.properties) property.options = prune(std::move(property.options));
    for (auto& key_class : shape.classes) key_class.options = prune(std::move(key_class.options));
    std::erase_if(shape.classes, [](const auto& c) { return c.options.empty(); });
    return shape;
  };
  const auto pruned_array = [&](ArrayShape shape) {
    for (auto& options : shape.prefix) options = prune(std::move(options));
    shape.rest = prune(std::move(shape.rest));
    return shape;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t node = ir_->values.size(); node-- > 0;) {
      if (productive[node]) continue;
      const ValueNode& value = ir_->values[node];
      bool good = value.scalars != kNothing || value.strings != kNothing;
      for (const uint32_t shape : value.objects) {
        if (good) break;
        good = CanBeMet(pruned_object(ir_->objects[shape]));
      }
      for (const uint32_t shape : value.arrays) {
        if (good) break;
        good = CanBeMet(pruned_array(ir_->arrays[shape]), options_.limits.positions_max);
      }
      Spend(1 + value.objects.size() + value.arrays.size(), *root_);
      if (good) productive[node] = changed = true;
    }
  }
  for (ObjectShape& shape : ir_->objects) shape = pruned_object(std::move(shape));
  for (ArrayShape& shape : ir_->arrays) shape = pruned_array(std::move(shape));
  for (ValueNode& value : ir_->values) {
    std::erase_if(value.objects, [&](uint32_t shape) { return !CanBeMet(ir_->objects[shape]); });
    std::erase_if(value.arrays, [&](uint32_t shape) {
      return !CanBeMet(ir_->arrays[shape], options_.limits.positions_max);
    });
  }
}

bool CanBeMet(const ObjectShape& shape) {
  constexpr uint32_t kNever = UINT32_MAX / 2;
  std::vector<uint32_t> fewest(shape.obligations + 1, kNever);
  fewest[0] = 0;
  uint64_t available = shape.classes.empty() ? 0 : kNever;
  const auto take = [&](const std::vector<ValueOption>& options, bool required) {
    std::vector<uint32_t> next(fewest.size(), kNever);
    if (!required) next = fewest;
    for (uint32_t met = 0; met < fewest.size(); ++met) {
      if (fewest[met] == kNever) continue;
      for (const ValueOption& option : options) {
        next[met | option.meets] = std::min(next[met | option.meets], fewest[met] + 1);
      }
    }
    fewest = std::move(next);
  };
  for (const auto& property : shape.properties) {
    if (property.options.empty() && !property.required) continue;
    ++available;
    take(property.options, property.required);
  }
  for (int round = 0; round < std::popcount(shape.obligations); ++round) {
    for (const auto& key_class : shape.classes) take(key_class.options, false);
  }
  const uint32_t least = fewest[shape.obligations];
  return least < kNever && least <= shape.max_properties && available >= shape.min_properties;
}

bool CanBeMet(const ArrayShape& shape, size_t steps_max) {
  if (shape.min_items > shape.max_items) return false;
  if (shape.counters.empty()) {
    for (size_t i = 0; i < std::min<size_t>(shape.prefix.size(), shape.min_items); ++i) {
      if (shape.prefix[i].empty()) return false;
    }
    return shape.min_items <= shape.prefix.size() || !shape.rest.empty();
  }
  struct State {
    uint32_t count;
    std::vector<uint32_t> counters;
    bool operator<(const State& o) const {
      return std::tie(count, counters) < std::tie(o.count, o.counters);
    }
  };
  std::set<State> seen;
  std::vector<State> stack{{0, std::vector<uint32_t>(shape.counters.size(), 0)}};
  const uint32_t enough =
      std::max<uint32_t>(shape.min_items, static_cast<uint32_t>(shape.prefix.size()));
  while (!stack.empty()) {
    const State state = stack.back();
    stack.pop_back();
    bool done = state.count >= shape.min_items;
    for (size_t i = 0; i < shape.counters.size(); ++i)
      done = done && state.counters[i] >= shape.counters[i].min;
    if (done) return true;
    if (state.count >= shape.max_items || seen.size() > steps_max) continue;
    const auto& options =
        state.count < shape.prefix.size() ? shape.prefix[state.count] : shape.rest;
    for (const ValueOption& option : options) {
      State next = state;
      ++next.count;
      if (shape.max_items == kUnbounded) next.count = std::min(next.count, enough);
      bool fits = true;
      for (size_t i = 0; i < shape.counters.size(); ++i) {
        if ((option.meets >> i & 1) == 0) continue;
        if (next.counters[i] >= shape.counters[i].max) fits = false;
        ++next.counters[i];
        if (shape.counters[i].max == kUnbounded)
          next.counters[i] = std::min(next.counters[i], shape.counters[i].min);
      }
      if (fits && seen.insert(next).second) stack.push_back(std::move(next));
    }
  }
  return false;
}

}  // namespace retort::grammar
