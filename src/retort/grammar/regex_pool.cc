#include "retort/grammar/regex_pool.h"

#include <algorithm>
#include <unordered_set>

#include "retort/base/error.h"

namespace retort::grammar {
namespace {

uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

void Add(StructureHash* hash, uint64_t value) {
  hash->low = Mix(hash->low ^ (value + 0x9e3779b97f4a7c15ULL));
  hash->high = Mix(hash->high * 0xd6e8feb86659fd93ULL + Mix(value ^ 0xa0761d6478bd642fULL));
}

void Add(StructureHash* hash, const StructureHash& other) {
  Add(hash, other.low);
  Add(hash, other.high);
}

bool Less(const StructureHash& a, const StructureHash& b) {
  return a.low != b.low ? a.low < b.low : a.high < b.high;
}

}  // namespace

RegexPool::RegexPool(const Limits& limits) : limits_(limits) {
  Rehash(256);
  for (const Kind kind : {Kind::kNothing, Kind::kEpsilon, Kind::kEverything}) {
    Node node;
    node.kind = kind;
    node.nullable = kind != Kind::kNothing;
    node.emptiness = kind == Kind::kNothing ? Emptiness::kEmpty : Emptiness::kNonEmpty;
    node.listed = kind == Kind::kEpsilon;
    Add(&node.hash, static_cast<uint64_t>(kind) + 1);
    nodes_.push_back(node);
  }
}

void RegexPool::Rehash(size_t size) {
  table_.assign(size, 0);
  for (uint32_t i = 3; i < nodes_.size(); ++i) {
    size_t slot = nodes_[i].hash.low & (size - 1);
    while (table_[slot] != 0) slot = (slot + 1) & (size - 1);
    table_[slot] = i;
  }
}

void RegexPool::ThrowWork() const {
  Throw(ErrorCode::kExhausted,
        "the constraint takes too much work for one request: more than {} units beyond what its "
        "tokens have earned",
        work_max_);
}

// `node.hash` names the structure; 128 bits are taken as identity.
Regex RegexPool::Intern(const Node& node) {
  size_t slot = node.hash.low & (table_.size() - 1);
  while (table_[slot] != 0) {
    if (nodes_[table_[slot]].hash == node.hash) return table_[slot];
    slot = (slot + 1) & (table_.size() - 1);
  }
  if (nodes_.size() >= limits_.regex_nodes_max) {
    Throw(ErrorCode::kExhausted, "regular languages need more than {} states",
          limits_.regex_nodes_max);
  }
  Spend(8);
  nodes_.push_back(node);
  const Regex result = static_cast<Regex>(nodes_.size() - 1);
  table_[slot] = result;
  if (nodes_.size() * 2 > table_.size()) Rehash(table_.size() * 2);
  return result;
}

Regex RegexPool::Set(const CodePointSet& set) {
  if (set.empty()) return kNothing;
  Node node;
  node.kind = Kind::kSet;
  node.listed = true;
  Add(&node.hash, 11);
  for (const CodePointRange& range : set.ranges()) {
    Add(&node.hash, uint64_t{range.first} << 32 | range.last);
  }
  node.emptiness = Emptiness::kNonEmpty;
  node.a = static_cast<uint32_t>(sets_.size());
  const Regex result = Intern(node);
  if (nodes_[result].a == sets_.size()) sets_.push_back(set);
  return result;
}

Regex RegexPool::Literal(std::u32string_view text) {
  Regex result = kEpsilon;
  for (size_t i = text.size(); i-- > 0;) result = Cat(Set(CodePointSet::One(text[i])), result);
  return result;
}

Regex RegexPool::Bytes(std::string_view bytes) {
  Regex result = kEpsilon;
  for (size_t i = bytes.size(); i-- > 0;) {
    result = Cat(Set(CodePointSet::One(static_cast<uint8_t>(bytes[i]))), result);
  }
  return result;
}

Regex RegexPool::Cat(std::initializer_list<Regex> parts) {
  Regex result = kEpsilon;
  for (auto it = std::rbegin(parts); it != std::rend(parts); ++it) result = Cat(*it, result);
  return result;
}

Regex RegexPool::Cat(Regex a, Regex b) {
  if (a == kNothing || b == kNothing) return kNothing;
  if (a == kEpsilon) return b;
  if (b == kEpsilon) return a;
  if (a == kEverything && b == kEverything) return kEverything;
  // Right-associative, so that equal sequences are equal nodes.
  std::vector<Regex> left;
  while (nodes_[a].kind == Kind::kCat) {
    left.push_back(nodes_[a].a);
    a = nodes_[a].b;
  }
  left.push_back(a);
  for (size_t i = left.size(); i-- > 0;) {
    const Node& x = nodes_[left[i]];
    const Node& y = nodes_[b];
    Node node;
    node.kind = Kind::kCat;
    node.nullable = x.nullable && y.nullable;
    node.plain = x.plain && y.plain;
    node.tagged = x.tagged || y.tagged;
    node.listed = x.listed && y.listed;
    if (node.plain) node.emptiness = Emptiness::kNonEmpty;
    Add(&node.hash, 12);
    Add(&node.hash, x.hash);
    Add(&node.hash, y.hash);
    node.a = left[i];
    node.b = b;
    b = Intern(node);
  }
  return b;
}

void RegexPool::CheckChildren(size_t num_more) const {
  if (children_.size() + num_more > limits_.regex_children_max) {
    Throw(ErrorCode::kExhausted,
          "the regular expression has more than {} alternatives in all its states",
          limits_.regex_children_max);
  }
}

Regex RegexPool::MakeList(Kind kind, std::vector<Regex> parts) {
  Spend(2 * parts.size());
  std::sort(parts.begin(), parts.end(),
            [&](Regex a, Regex b) { return Less(nodes_[a].hash, nodes_[b].hash); });
  parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
  if (parts.size() == 1) return parts[0];
  Node node;
  node.kind = kind;
  Add(&node.hash, kind == Kind::kOr ? 13 : 14);
  node.nullable = kind == Kind::kAnd;
  node.plain = kind == Kind::kOr;
  node.listed = kind == Kind::kOr;
  for (const Regex part : parts) {
    const Node& child = nodes_[part];
    Add(&node.hash, child.hash);
    node.nullable =
        kind == Kind::kOr ? node.nullable || child.nullable : node.nullable && child.nullable;
    node.plain = node.plain && child.plain;
    node.listed = node.listed && child.listed;
    node.tagged = node.tagged || child.tagged;
    if (kind == Kind::kOr && child.emptiness == Emptiness::kNonEmpty) {
      node.emptiness = Emptiness::kNonEmpty;
    }
  }
  if (node.nullable) node.emptiness = Emptiness::kNonEmpty;
  CheckChildren(parts.size());
  node.a = static_cast<uint32_t>(children_.size());
  node.b = static_cast<uint32_t>(parts.size());
  const Regex result = Intern(node);
  if (nodes_[result].a == children_.size()) {
    children_.insert(children_.end(), parts.begin(), parts.end());
  }
  return result;
}

Regex RegexPool::And(const std::vector<Regex>& parts) {
  std::vector<Regex> flat;
  CodePointSet set;
  int num_sets = 0;
  // Length bounds, Any{min,max}, meet in one.
  uint32_t min = 0;
  uint32_t max = kUnbounded;
  Regex any = kNothing;
  bool has_epsilon = false;
  const auto add = [&](Regex part) {
    const Node& node = nodes_[part];
    if (part == kEverything) return;
    if (part == kEpsilon) {
      has_epsilon = true;
      return;
    }
    if (node.kind == Kind::kSet) {
      set = num_sets++ == 0 ? sets_[node.a] : set.Intersect(sets_[node.a]);
      return;
    }
    if (node.kind == Kind::kRepeat && nodes_[node.a].kind == Kind::kSet &&
        sets_[nodes_[node.a].a] == CodePointSet::Any()) {
      any = node.a;
      min = std::max(min, node.b);
      max = std::min(max, node.c);
      return;
    }
    flat.push_back(part);
  };
  for (const Regex part : parts) {
    if (part == kNothing) return kNothing;
    if (nodes_[part].kind == Kind::kAnd) {
      const Node node = nodes_[part];
      for (const Regex child : Children(node)) add(child);
    } else {
      add(part);
    }
  }
  if (has_epsilon) {
    const bool all = num_sets == 0 && min == 0 &&
                     std::all_of(flat.begin(), flat.end(), [&](Regex r) { return Nullable(r); });
    return all ? kEpsilon : kNothing;
  }
  if (any != kNothing) {
    if (min > max) return kNothing;
    const Regex length = Repeat(any, min, max);
    if (length == kEpsilon) {
      flat.push_back(length);
      return And(flat);
    }
    if (length != kEverything) flat.push_back(length);
  }
  if (num_sets > 0) {
    if (set.empty()) return kNothing;
    flat.push_back(Set(set));
  }
  if (flat.empty()) return kEverything;
  for (const Regex part : flat) {
    if (nodes_[part].kind != Kind::kNot) continue;
    for (const Regex other : flat) {
      if (nodes_[part].a == other) return kNothing;
    }
  }
  return MakeList(Kind::kAnd, std::move(flat));
}

Regex RegexPool::Not(Regex a) {
  if (a == kNothing) return kEverything;
  if (a == kEverything) return kNothing;
  if (nodes_[a].kind == Kind::kNot) return nodes_[a].a;
  Node node;
  node.kind = Kind::kNot;
  node.nullable = !nodes_[a].nullable;
  node.plain = false;
  if (node.nullable) node.emptiness = Emptiness::kNonEmpty;
  Add(&node.hash, 15);
  Add(&node.hash, nodes_[a].hash);
  node.a = a;
  return Intern(node);
}

Regex RegexPool::Repeat(Regex a, uint32_t min, uint32_t max) {
  if (max == 0 || a == kEpsilon) return kEpsilon;
  if (a == kNothing) return min == 0 ? kEpsilon : kNothing;
  if (min == 1 && max == 1) return a;
  if (a == kEverything) return kEverything;
  if (nodes_[a].nullable) min = 0;
  if (min <= 1 && max == kUnbounded && nodes_[a].kind == Kind::kRepeat && nodes_[a].b <= 1 &&
      nodes_[a].c == kUnbounded) {
    return Repeat(nodes_[a].a, std::min(min, nodes_[a].b), kUnbounded);
  }
  if (min == 0 && max == kUnbounded && nodes_[a].kind == Kind::kSet &&
      sets_[nodes_[a].a] == CodePointSet::Any()) {
    return kEverything;
  }
  if (min == 0 && max == 1 && nodes_[a].nullable) return a;
  Node node;
  node.kind = Kind::kRepeat;
  node.nullable = min == 0;
  node.plain = nodes_[a].plain;
  if (node.plain || node.nullable) node.emptiness = Emptiness::kNonEmpty;
  Add(&node.hash, 16);
  Add(&node.hash, nodes_[a].hash);
  Add(&node.hash, uint64_t{min} << 32 | max);
  node.a = a;
  node.b = min;
  node.c = max;
  return Intern(node);
}

Regex RegexPool::Tag(uint32_t label) {
  Node node;
  node.kind = Kind::kTag;
  node.tagged = true;
  node.nullable = true;
  node.emptiness = Emptiness::kNonEmpty;
  Add(&node.hash, 17);
  Add(&node.hash, label);
  node.a = label;
  return Intern(node);
}

RegexPool::Name RegexPool::NameOf(std::u32string_view text, uint32_t label) {
  std::vector<StructureHash> rests(text.size() + 1);
  Add(&rests[text.size()], label);
  for (size_t i = text.size(); i-- > 0;) {
    rests[i] = rests[i + 1];
    Add(&rests[i], text[i]);
  }
  Spend(1 + text.size());
  const auto [it, is_new] = name_index_.try_emplace(rests[0], static_cast<Name>(names_.size()));
  if (is_new) {
    names_.push_back(
        {static_cast<uint32_t>(name_text_.size()), static_cast<uint32_t>(text.size()), label});
    name_text_ += text;
    name_rests_.insert(name_rests_.end(), rests.begin(), rests.end());
  }
  return it->second;
}

Regex RegexPool::Names(const std::vector<NamedString>& names) {
  std::vector<Name> known;
  for (const NamedString& name : names) known.push_back(NameOf(name.text, name.label));
  return Names(std::move(known));
}

Regex RegexPool::Names(std::vector<Name> names) {
  if (names.empty()) return kNothing;
  Spend(names.size());
  const auto less = [&](Name a, Name b) { return TextOf(a) < TextOf(b); };
  if (!std::is_sorted(names.begin(), names.end(), less)) {
    Spend(8 * names.size());
    std::sort(names.begin(), names.end(), less);
  }
  const auto num_names = static_cast<uint32_t>(names.size());
  name_tables_.push_back(std::move(names));
  const Regex result = NamesNode(static_cast<uint32_t>(name_tables_.size() - 1), 0, num_names, 0);
  if (nodes_[result].a + 1 != name_tables_.size()) name_tables_.pop_back();
  return result;
}

// Named by what is left of its names, so that sets that differ elsewhere have it in common: keys
// that an object may still have change with each that it has.
Regex RegexPool::NamesNode(uint32_t table, uint32_t first, uint32_t last, uint32_t depth) {
  if (first == last) return kNothing;
  const std::vector<Name>& names = name_tables_[table];
  const NameInfo& least = names_[names[first]];
  if (last - first == 1 && least.size == depth) {
    return least.label == 0 ? kEpsilon : Tag(least.label);
  }
  Node node;
  node.kind = Kind::kNames;
  node.tagged = true;
  node.nullable = least.size == depth;
  node.emptiness = Emptiness::kNonEmpty;
  Spend((last - first) / 4);
  Add(&node.hash, 18);
  for (uint32_t i = first; i < last; ++i) Add(&node.hash, RestHash(names[i], depth));
  node.a = table;
  node.b = first;
  node.c = last;
  node.d = depth;
  return Intern(node);
}

Regex RegexPool::Multiples(uint64_t divisor, uint32_t scale) {
  moduli_.push_back({divisor, scale});
  return MultiplesNode(static_cast<uint32_t>(moduli_.size() - 1), 0, 0);
}

// phase 0: in the integer part; 1 + j: after j digits of the fraction.
Regex RegexPool::MultiplesNode(uint32_t modulus, uint32_t phase, uint64_t remainder) {
  const auto [divisor, scale] = moduli_[modulus];
  const uint32_t digits = phase == 0 ? scale : scale - (phase - 1);
  uint64_t value = remainder;
  Spend(digits);
  for (uint32_t i = 0; i < digits && value != 0; ++i) {
    value = static_cast<uint64_t>(static_cast<UInt128>(value) * 10 % divisor);
  }
  Node node;
  node.kind = Kind::kMultiples;
  node.nullable = value == 0;
  node.plain = false;
  if (node.nullable) node.emptiness = Emptiness::kNonEmpty;
  Add(&node.hash, 19);
  Add(&node.hash, divisor);
  Add(&node.hash, uint64_t{scale} << 32 | phase);
  Add(&node.hash, remainder);
  node.a = modulus;
  node.b = phase;
  node.c = static_cast<uint32_t>(remainder);
  node.d = static_cast<uint32_t>(remainder >> 32);
  return Intern(node);
}

Regex RegexPool::Fraction(const std::vector<Regex>& tails) {
  CheckChildren(tails.size());
  const auto begin = static_cast<uint32_t>(children_.size());
  children_.insert(children_.end(), tails.begin(), tails.end());
  const Regex result = FractionNode(begin, static_cast<uint32_t>(tails.size()), 0, 0);
  if (nodes_[result].a != begin) children_.resize(begin);
  return result;
}

// After `num_digits` digits, of which the one numbered `last` is the last that is not 0.
Regex RegexPool::FractionNode(uint32_t tails, uint32_t num_tails, uint32_t num_digits,
                              uint32_t last) {
  Node node;
  node.kind = Kind::kFraction;
  Add(&node.hash, 20);
  Add(&node.hash, uint64_t{num_digits} << 32 | last);
  for (uint32_t i = 0; i < num_tails; ++i) {
    const Node& tail = nodes_[children_[tails + i]];
    Add(&node.hash, tail.hash);
    node.plain = node.plain && tail.plain;
  }
  node.nullable = num_digits > 0 && nodes_[children_[tails + last]].nullable;
  if (node.plain || node.nullable) node.emptiness = Emptiness::kNonEmpty;
  node.a = tails;
  node.b = num_tails;
  node.c = num_digits;
  node.d = last;
  return Intern(node);
}

void RegexPool::Labels(Regex r, std::vector<uint32_t>* labels) const {
  const Node& node = nodes_[r];
  if (!node.nullable) return;
  const auto add = [&](uint32_t label) {
    if (std::find(labels->begin(), labels->end(), label) == labels->end()) {
      labels->push_back(label);
    }
  };
  // Where there is none, shared parts must not be visited once for each way to them.
  if (!node.tagged) return add(0);
  switch (node.kind) {
    case Kind::kTag:
      add(node.a);
      break;
    case Kind::kNames:
      add(names_[name_tables_[node.a][node.b]].label);
      break;
    case Kind::kCat:
      Labels(node.b, labels);
      break;
    case Kind::kOr:
      for (const Regex child : Children(node)) Labels(child, labels);
      break;
    default:
      add(0);
  }
}

void RegexPool::LabelsAhead(Regex r, std::vector<uint32_t>* labels) const {
  std::vector<Regex> stack{r};
  std::unordered_set<Regex> visited{r};
  std::unordered_set<uint32_t> known(labels->begin(), labels->end());
  const auto add = [&](uint32_t label) {
    if (known.insert(label).second) labels->push_back(label);
  };
  const auto visit = [&](Regex child) {
    if (visited.insert(child).second) stack.push_back(child);
  };
  while (!stack.empty()) {
    const Node& node = nodes_[stack.back()];
    const Regex at = stack.back();
    stack.pop_back();
    if (at == kNothing) continue;
    if (!node.tagged) {
      add(0);
    } else if (node.kind == Kind::kTag) {
      add(node.a);
    } else if (node.kind == Kind::kNames) {
      const std::vector<Name>& names = name_tables_[node.a];
      for (uint32_t i = node.b; i < node.c; ++i) add(names_[names[i]].label);
    } else if (node.kind == Kind::kCat) {
      visit(node.b);
    } else {
      for (const Regex child : Children(node)) visit(child);
    }
  }
}

std::optional<RegexPool::Lengths> RegexPool::LengthsOf(Regex r) const {
  const Node& node = nodes_[r];
  if (r == kEverything) return Lengths{};
  if (r == kEpsilon) return Lengths{0, 0};
  const Node& set = node.kind == Kind::kRepeat ? nodes_[node.a] : node;
  if (set.kind != Kind::kSet || sets_[set.a] != CodePointSet::Any()) return {};
  return node.kind == Kind::kRepeat ? Lengths{node.b, node.c} : Lengths{1, 1};
}

std::optional<std::pair<Regex, RegexPool::Lengths>> RegexPool::SplitLengths(Regex r) const {
  const Node& node = nodes_[r];
  if (node.kind != Kind::kAnd || node.b != 2) return {};
  for (int i = 0; i < 2; ++i) {
    const Regex one = children_[node.a + i];
    const Regex other = children_[node.a + 1 - i];
    const auto lengths = LengthsOf(one);
    if (lengths && nodes_[other].plain) return std::pair{other, *lengths};
  }
  return {};
}

uint64_t RegexPool::memory_bytes() const {
  uint64_t bytes = nodes_.capacity() * sizeof(Node) + table_.capacity() * 4 +
                   (children_.capacity() + searched_.capacity()) * 4 +
                   rows_.capacity() * sizeof(RowEntry);
  bytes += names_.capacity() * (sizeof(NameInfo) + 64) + name_text_.capacity() * 4 +
           name_rests_.capacity() * sizeof(StructureHash);
  for (const std::vector<Name>& table : name_tables_) {
    bytes += sizeof(std::vector<Name>) + table.capacity() * sizeof(Name);
  }
  bytes += (needs_.size() + safe_.size()) * 48;
  for (const CodePointSet& set : sets_) bytes += set.ranges().size() * sizeof(CodePointRange);
  return bytes;
}

}  // namespace retort::grammar
