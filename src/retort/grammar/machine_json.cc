// States of JSON containers: which keys and items may come next, exactly.
#include <algorithm>
#include <bit>

#include "retort/base/error.h"
#include "retort/grammar/json_number.h"
#include "retort/grammar/machine.h"
#include "retort/grammar/machine_labels.h"
#include "retort/grammar/node_numbers.h"

namespace retort::grammar {
namespace {

uint32_t ClassLabel(size_t key_class) {
  return key_class == 0 ? kLabelPlain : kLabelClasses + static_cast<uint32_t>(key_class);
}

uint64_t HashWords(std::span<const uint32_t> words) {
  uint64_t hash = words.size();
  for (const uint32_t word : words) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    hash ^= hash >> 31;
  }
  return hash;
}

}  // namespace

LexState Machine::LexAt(Position position, const Seen* seen) {
  PositionInfo& info = *positions_[position];
  bool needs_seen = false;
  if (seen != nullptr) {
    const bool object = info.kind == Kind::kObjectFirst || info.kind == Kind::kObjectAfter;
    needs_seen = info.kind == Kind::kUniqueItem ||
                 (object && !ir_->objects[object_states_[info.a].shape].classes.empty());
  }
  if (!needs_seen) {
    if (info.lex == UINT32_MAX) {
      const LexState lex = MakeLex(info, nullptr);
      info.lex = lex;
    }
    return info.lex;
  }
  if (seen->unknown) return kUncertainState;
  const uint64_t key = uint64_t{position} << 40 ^ reinterpret_cast<uintptr_t>(seen);
  const auto it = seen_lex_.find(key);
  if (it != seen_lex_.end()) return it->second;
  const LexState lex = MakeLex(info, seen);
  seen_lex_.emplace(key, lex);
  return lex;
}

LexState Machine::MakeLex(const PositionInfo& info, const Seen* seen) {
  const auto mark = [&](char c, uint32_t label) {
    return pool_.Cat(pool_.Bytes(std::string_view(&c, 1)), pool_.Tag(label));
  };
  switch (info.kind) {
    case Kind::kAccept:
      return kDeadState;
    case Kind::kSymbol: {
      const Symbol symbol = ir_->symbols[info.a];
      return symbol.kind == Symbol::Kind::kText ? lexer_.Text(symbol.value)
                                                : lexer_.Bytes(symbol.value);
    }
    case Kind::kValue: {
      const ValueNode& value = ir_->values[info.a];
      const Regex bytes =
          pool_.Or({value.scalars, value.objects.empty() ? kNothing : mark('{', kLabelObject),
                    value.arrays.empty() ? kNothing : mark('[', kLabelArray)});
      return lexer_.Json(static_cast<Lexer::Before>(info.b), bytes, value.strings);
    }
    case Kind::kObjectFirst:
    case Kind::kObjectAfter: {
      const ObjectState state = object_states_[info.a];
      const bool first = info.kind == Kind::kObjectFirst;
      return lexer_.Json(first ? Lexer::Before::kWhitespace : Lexer::Before::kComma,
                         MayClose(state) ? mark('}', kLabelClose) : kNothing, KeysOf(state, seen));
    }
    case Kind::kArrayFirst:
      return lexer_.Json(Lexer::Before::kWhitespace, mark(']', kLabelClose), kNothing);
    case Kind::kArrayAfter: {
      const ArrayState state = array_states_[info.a];
      bool more = false;
      for (const ValueOption& option : OptionsAt(state)) {
        const auto next = Take(state, option.meets);
        more = more || (next && CanFinish(*next));
      }
      const Regex space = pool_.Cat(pool_.Optional(pool_.Bytes("\n")),
                                    pool_.Repeat(pool_.Bytes(" "), 0, kWhitespaceSpacesMax));
      return lexer_.Bytes(
          pool_.Or(more ? mark(',', kLabelComma) : kNothing,
                   MayClose(state) ? pool_.Cat(space, mark(']', kLabelClose)) : kNothing));
    }
    case Kind::kUniqueItem: {
      const ArrayShape& shape = ir_->arrays[array_states_[info.a].shape];
      const ValueNode& value = ir_->values[shape.rest[0].node];
      return lexer_.Json(Lexer::Before::kWhitespace, WithoutSeen(value.scalars, seen, false),
                         WithoutSeen(value.strings, seen, true));
    }
  }
  return kDeadState;
}

std::vector<Machine::Action> Machine::MakeActions(const PositionInfo& info, uint32_t label) {
  std::vector<Action> actions;
  const auto go = [&](Position next, bool remember = false) {
    actions.push_back({Action::Kind::kGoto, remember, 0, next});
  };
  const Kind kind = info.kind;
  const uint32_t a = info.a;
  if (label == kLabelClose) {
    actions.push_back({});
    return actions;
  }
  switch (kind) {
    case Kind::kValue:
      if (label == kLabelObject) {
        for (const uint32_t shape : ir_->values[a].objects) {
          go(PositionOf(Kind::kObjectFirst, StateOf(ObjectState{shape, 0, 0, 0})));
        }
      } else if (label == kLabelArray) {
        for (const uint32_t shape : ir_->values[a].arrays) {
          const ArrayState state{shape, 0, 0, {0, 0, 0, 0}};
          if (MayClose(state)) go(PositionOf(Kind::kArrayFirst, StateOf(state)));
          PushItems(state, Lexer::Before::kWhitespace, &actions);
        }
      } else {
        actions.push_back({});
      }
      break;
    case Kind::kObjectFirst:
    case Kind::kObjectAfter:
      AfterKey(object_states_[a], label, &actions);
      break;
    case Kind::kArrayAfter:
      PushItems(array_states_[a], Lexer::Before::kWhitespace, &actions);
      break;
    case Kind::kUniqueItem:
      go(PositionOf(Kind::kArrayAfter, a), true);
      break;
    default:
      break;
  }
  return actions;
}

// --- objects ---

uint32_t Machine::StateOf(const ObjectState& state) {
  const uint32_t words[] = {state.shape, state.cursor, state.count, state.met};
  const uint64_t hash = HashWords(words);
  const auto [begin, end] = object_index_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (object_states_[it->second] == state) return it->second;
  }
  object_states_.push_back(state);
  object_index_.emplace(hash, static_cast<uint32_t>(object_states_.size() - 1));
  return static_cast<uint32_t>(object_states_.size() - 1);
}

bool Machine::IsPast(const ObjectState& state, uint32_t property) const {
  if (!ir_->objects[state.shape].any_order) return property < state.cursor;
  const std::vector<bool>& names = name_sets_[state.cursor];
  return property < names.size() && names[property];
}

bool Machine::MayClose(const ObjectState& state) const {
  const ObjectShape& shape = ir_->objects[state.shape];
  if (state.count < shape.min_properties || state.met != shape.obligations) return false;
  for (uint32_t p = shape.any_order ? 0 : state.cursor; p < shape.properties.size(); ++p) {
    if (shape.properties[p].required && !IsPast(state, p)) return false;
  }
  return true;
}

// Whether keys can still be added so that the object is right: the fewest keys that meet what is
// required and owed must fit below the maximum, and enough must be left for the minimum.
bool Machine::CanFinish(const ObjectState& state) {
  const ObjectShape& shape = ir_->objects[state.shape];
  if (state.met == shape.obligations && shape.max_properties == kUnbounded &&
      state.count >= shape.min_properties) {
    return true;
  }
  constexpr uint32_t kNever = UINT32_MAX / 2;
  const uint32_t num_sets = shape.obligations + 1;
  pool_.Spend(uint64_t{num_sets} * (shape.properties.size() + shape.classes.size()) / 4);
  std::vector<uint32_t> fewest(num_sets, kNever);
  fewest[state.met] = 0;
  uint64_t available = shape.classes.empty() ? 0 : kNever;
  const auto take = [&](const std::vector<ValueOption>& options, bool required) {
    std::vector<uint32_t> next(num_sets, kNever);
    if (!required) next = fewest;
    for (uint32_t met = 0; met < num_sets; ++met) {
      if (fewest[met] == kNever) continue;
      for (const ValueOption& option : options) {
        uint32_t& cost = next[met | option.meets];
        cost = std::min(cost, fewest[met] + 1);
      }
    }
    fewest = std::move(next);
  };
  for (uint32_t p = shape.any_order ? 0 : state.cursor; p < shape.properties.size(); ++p) {
    const auto& property = shape.properties[p];
    if (IsPast(state, p) || (property.options.empty() && !property.required)) continue;
    ++available;
    take(property.options, property.required);
  }
  // Extra keys can be taken again and again; each useful round meets one obligation more.
  for (const auto& key_class : shape.classes) {
    for (int round = 0; round < std::popcount(shape.obligations); ++round) {
      take(key_class.options, false);
    }
  }
  if (state.count + available < shape.min_properties) return false;
  const uint64_t least = fewest[shape.obligations];
  return least < kNever &&
         (shape.max_properties == kUnbounded || state.count + least <= shape.max_properties);
}

// One label for a name wherever it is a key, so that shapes that have keys in common have lexer
// states in common, in other grammars too.
uint32_t Machine::LabelOf(const std::u32string& name) {
  constexpr uint32_t kNumLabels = UINT32_MAX - kLabelNames;
  auto label = static_cast<uint32_t>(std::hash<std::u32string>{}(name) % kNumLabels);
  for (;; label = (label + 1) % kNumLabels) {
    pool_.Spend(1);
    const auto [it, is_new] = labels_.try_emplace(kLabelNames + label, name);
    if (is_new || it->second == name) return it->first;
  }
}

const Machine::ShapeKeys& Machine::KeysOfShape(uint32_t shape) {
  if (const auto it = shape_keys_.find(shape); it != shape_keys_.end()) return it->second;
  const auto& properties = ir_->objects[shape].properties;
  pool_.Spend(8 * properties.size());
  ShapeKeys keys;
  for (const auto& property : properties) {
    keys.labels.push_back(LabelOf(property.name));
    keys.names.push_back(pool_.NameOf(property.name, keys.labels.back()));
    keys.sorted.push_back(static_cast<uint32_t>(keys.sorted.size()));
  }
  std::sort(keys.sorted.begin(), keys.sorted.end(),
            [&](uint32_t a, uint32_t b) { return properties[a].name < properties[b].name; });
  return shape_keys_.emplace(shape, std::move(keys)).first->second;
}

std::optional<Machine::ObjectState> Machine::Take(const ObjectState& state, uint32_t property,
                                                  uint32_t meets) {
  const ObjectShape& shape = ir_->objects[state.shape];
  if (shape.max_properties != kUnbounded && state.count >= shape.max_properties) return {};
  ObjectState next = state;
  next.met |= meets;
  next.count = state.count + 1;
  if (shape.max_properties == kUnbounded) next.count = std::min(next.count, shape.min_properties);
  if (!shape.any_order) {
    next.cursor =
        property == kNoProperty ? static_cast<uint32_t>(shape.properties.size()) : property + 1;
  } else if (property != kNoProperty) {
    std::vector<bool> names = name_sets_[state.cursor];
    names.resize(shape.properties.size());
    names[property] = true;
    const uint64_t hash = std::hash<std::vector<bool>>{}(names);
    const auto [begin, end] = name_set_index_.equal_range(hash);
    const auto it = std::find_if(
        begin, end, [&](const auto& known) { return name_sets_[known.second] == names; });
    if (it != end) {
      next.cursor = it->second;
    } else {
      next.cursor = static_cast<uint32_t>(name_sets_.size());
      name_set_index_.emplace(hash, next.cursor);
      name_sets_.push_back(std::move(names));
    }
  }
  if (!CanFinish(next)) return {};
  return next;
}

// As Take, where nothing but the number of properties is owed: a few sums instead of a look at all
// properties, which with thousands of them is too much to do for each.
bool Machine::FitsAfter(const ObjectState& state, const PropertiesLeft& left) const {
  const ObjectShape& shape = ir_->objects[state.shape];
  if (shape.max_properties != kUnbounded &&
      (state.count >= shape.max_properties ||
       state.count + 1 + left.required > shape.max_properties)) {
    return false;
  }
  return !shape.classes.empty() || state.count + 1 + left.available >= shape.min_properties;
}

Machine::PropertiesLeft Machine::LeftOf(const ObjectState& state) const {
  const ObjectShape& shape = ir_->objects[state.shape];
  PropertiesLeft left;
  for (uint32_t p = shape.any_order ? 0 : state.cursor; p < shape.properties.size(); ++p) {
    if (IsPast(state, p)) continue;
    const auto& property = shape.properties[p];
    left.available += property.required || !property.options.empty() ? 1 : 0;
    left.required += property.required ? 1 : 0;
  }
  return left;
}

Regex Machine::KeysOf(const ObjectState& state, const Seen* seen) {
  const ObjectShape& shape = ir_->objects[state.shape];
  const bool plain = shape.obligations == 0;
  PropertiesLeft left = plain ? LeftOf(state) : PropertiesLeft();
  pool_.Spend(shape.properties.size() / 4);
  const auto allowed = [&](const std::vector<ValueOption>& options, uint32_t property) {
    if (plain) return !options.empty() && FitsAfter(state, left);
    return std::any_of(options.begin(), options.end(), [&](const ValueOption& option) {
      return Take(state, property, option.meets).has_value();
    });
  };
  std::vector<bool> may_come(shape.properties.size());
  bool classes = true;
  for (uint32_t p = shape.any_order ? 0 : state.cursor; p < shape.properties.size(); ++p) {
    if (IsPast(state, p)) continue;
    const auto& property = shape.properties[p];
    // While it is asked about, it is not left.
    const PropertiesLeft before = left;
    left.available -= property.required || !property.options.empty() ? 1 : 0;
    left.required -= property.required ? 1 : 0;
    may_come[p] = allowed(property.options, p);
    if (shape.any_order) left = before;  // in the declared order, what is passed is gone
    if (property.required && !shape.any_order) {
      classes = false;  // in the declared order nothing passes a required property
      break;
    }
  }
  const ShapeKeys& known = KeysOfShape(state.shape);
  std::vector<RegexPool::Name> names;
  for (const uint32_t p : known.sorted) {
    if (may_come[p]) names.push_back(known.names[p]);
  }
  std::vector<Regex> parts{pool_.Names(std::move(names))};
  for (size_t c = 0; classes && c < shape.classes.size(); ++c) {
    if (!allowed(shape.classes[c].options, kNoProperty)) continue;
    const Regex keys = WithoutSeen(shape.classes[c].keys, seen, true);
    parts.push_back(c == 0 ? keys : pool_.Cat(keys, pool_.Tag(ClassLabel(c))));
  }
  return pool_.Or(parts);
}

void Machine::AfterKey(ObjectState state, uint32_t label, std::vector<Action>* actions) {
  const ObjectShape& shape = ir_->objects[state.shape];
  const bool named = label >= kLabelNames;
  uint32_t property = kNoProperty;
  if (named) {
    const auto& labels = KeysOfShape(state.shape).labels;
    property =
        static_cast<uint32_t>(std::find(labels.begin(), labels.end(), label) - labels.begin());
    if (property == labels.size()) Throw(ErrorCode::kInternal, "a key that is no property's");
  }
  const auto& options = named ? shape.properties[property].options
                              : shape.classes[label == 0 ? 0 : label - kLabelClasses].options;
  for (const ValueOption& option : options) {
    const auto next = Take(state, property, option.meets);
    if (!next) continue;
    actions->push_back({Action::Kind::kPush, !named, NodeNumber(option.node, Lexer::Before::kColon),
                        PositionOf(Kind::kObjectAfter, StateOf(*next))});
  }
}

// --- arrays ---

uint32_t Machine::StateOf(const ArrayState& state) {
  const uint32_t words[] = {state.shape,       state.index,       state.count,
                            state.counters[0], state.counters[1], state.counters[2],
                            state.counters[3]};
  const uint64_t hash = HashWords(words);
  const auto [begin, end] = array_index_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (array_states_[it->second] == state) return it->second;
  }
  array_states_.push_back(state);
  array_index_.emplace(hash, static_cast<uint32_t>(array_states_.size() - 1));
  return static_cast<uint32_t>(array_states_.size() - 1);
}

std::span<const ValueOption> Machine::OptionsAt(const ArrayState& state) const {
  const ArrayShape& shape = ir_->arrays[state.shape];
  if (shape.max_items != kUnbounded && state.count >= shape.max_items) return {};
  return state.index < shape.prefix.size() ? shape.prefix[state.index] : shape.rest;
}

std::optional<Machine::ArrayState> Machine::Take(const ArrayState& state, uint32_t meets) const {
  const ArrayShape& shape = ir_->arrays[state.shape];
  ArrayState next = state;
  if (next.index < shape.prefix.size()) ++next.index;
  ++next.count;
  if (shape.max_items == kUnbounded) next.count = std::min(next.count, shape.min_items);
  for (size_t i = 0; i < shape.counters.size(); ++i) {
    if ((meets >> i & 1) == 0) continue;
    const ArrayShape::Counter& counter = shape.counters[i];
    uint32_t& count = next.counters[i];
    if (count >= counter.max) return {};
    ++count;
    if (counter.max == kUnbounded) count = std::min(count, counter.min);
  }
  return next;
}

bool Machine::MayClose(const ArrayState& state) const {
  const ArrayShape& shape = ir_->arrays[state.shape];
  if (state.count < shape.min_items) return false;
  for (size_t i = 0; i < shape.counters.size(); ++i) {
    if (state.counters[i] < shape.counters[i].min) return false;
  }
  return true;
}

bool Machine::CanFinish(const ArrayState& state) {
  const ArrayShape& shape = ir_->arrays[state.shape];
  if (MayClose(state)) return true;
  if (shape.counters.empty()) {
    // Every item up to the minimum needs a value.
    for (size_t i = state.index; i < shape.prefix.size(); ++i) {
      const size_t index = state.count + (i - state.index);
      if (index < shape.min_items && shape.prefix[i].empty()) return false;
    }
    const uint64_t prefix_left = shape.prefix.size() - state.index;
    return !shape.rest.empty() || state.count + prefix_left >= shape.min_items;
  }
  const uint32_t start = StateOf(state);
  if (const auto it = array_can_finish_.find(start); it != array_can_finish_.end()) {
    return it->second;
  }
  std::vector<uint32_t> stack{start};
  std::unordered_set<uint32_t> seen{start};
  bool found = false;
  while (!stack.empty() && !found) {
    pool_.Spend(16);
    const ArrayState from = array_states_[stack.back()];
    stack.pop_back();
    for (const ValueOption& option : OptionsAt(from)) {
      const auto next = Take(from, option.meets);
      if (!next) continue;
      if (MayClose(*next)) {
        found = true;
        break;
      }
      const uint32_t id = StateOf(*next);
      if (seen.insert(id).second) stack.push_back(id);
    }
    if (seen.size() > ir_->limits.positions_max) {
      Throw(ErrorCode::kExhausted, "counting an array's items takes more than {} states",
            ir_->limits.positions_max);
    }
  }
  if (!found) {
    for (const uint32_t id : seen) array_can_finish_[id] = false;
  }
  array_can_finish_[start] = found;
  return found;
}

void Machine::PushItems(ArrayState state, Lexer::Before before, std::vector<Action>* actions) {
  const ArrayShape& shape = ir_->arrays[state.shape];
  for (const ValueOption& option : OptionsAt(state)) {
    const auto next = Take(state, option.meets);
    if (!next || !CanFinish(*next)) continue;
    if (shape.unique) {
      actions->push_back(
          {Action::Kind::kGoto, false, 0, PositionOf(Kind::kUniqueItem, StateOf(*next))});
    } else {
      actions->push_back({Action::Kind::kPush, false, NodeNumber(option.node, before),
                          PositionOf(Kind::kArrayAfter, StateOf(*next))});
    }
  }
}

// Of a list of strings, what each text leaves is kept, as the next one is taken from that.
Regex Machine::ListedWithout(Regex r, const Seen* seen) {
  std::vector<const Seen*> texts;
  Regex left = r;
  for (bool known = false; seen != nullptr && !known; seen = seen->before) {
    const auto it = listed_without_.find(seen);
    if (it != listed_without_.end()) {
      for (const auto& [from, rest] : it->second) {
        if (from != r) continue;
        left = rest;
        known = true;
      }
    }
    if (!known) texts.push_back(seen);
  }
  for (size_t i = texts.size(); i-- > 0;) {
    if (texts[i]->scalar.empty()) left = pool_.Without(left, texts[i]->text);
    listed_without_[texts[i]].emplace_back(r, left);
  }
  return left;
}

// `r` without the keys or items that came before.
Regex Machine::WithoutSeen(Regex r, const Seen* seen, bool strings) {
  if (seen == nullptr || r == kNothing) return r;
  if (strings && pool_.IsListed(r)) return ListedWithout(r, seen);
  std::vector<NamedString> texts;
  std::vector<Regex> scalars;
  for (; seen != nullptr; seen = seen->before) {
    if (!seen->scalar.empty()) {
      scalars.push_back(SpellingsOf(seen->scalar, &pool_));
    } else {
      texts.push_back({seen->text, kLabelPlain});
    }
  }
  if (!strings) return pool_.And(r, pool_.Not(pool_.Or(scalars)));
  return pool_.And(r, pool_.Not(pool_.Names(texts)));
}

}  // namespace retort::grammar
