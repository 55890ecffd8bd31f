// Derivatives and emptiness of the pool's languages.
#include <algorithm>
#include <unordered_set>

#include "retort/base/error.h"
#include "retort/grammar/regex_pool.h"

namespace retort::grammar {
namespace {

void Append(std::vector<RowEntry>* row, uint32_t last, Regex target) {
  if (!row->empty() && row->back().target == target) {
    row->back().last = last;
  } else {
    row->push_back({last, target});
  }
}

void AppendRange(std::vector<RowEntry>* row, uint32_t first, uint32_t last, Regex target) {
  const uint32_t next = row->empty() ? 0 : row->back().last + 1;
  if (first > next) Append(row, first - 1, kNothing);
  Append(row, last, target);
}

void Finish(std::vector<RowEntry>* row) {
  if (row->empty() || row->back().last < kCodePointMax) Append(row, kCodePointMax, kNothing);
}

}  // namespace

template <typename Combine>
void RegexPool::MergeRows(std::span<const RowEntry> x, std::span<const RowEntry> y, Combine combine,
                          std::vector<RowEntry>* out) {
  Spend(x.size() + y.size());
  out->clear();
  size_t i = 0;
  size_t j = 0;
  // Neighbouring ranges often lead to the same pair.
  Regex last_x = 0;
  Regex last_y = 0;
  Regex last_target = 0;
  bool has_last = false;
  while (i < x.size() && j < y.size()) {
    const uint32_t last = std::min(x[i].last, y[j].last);
    if (!has_last || x[i].target != last_x || y[j].target != last_y) {
      last_x = x[i].target;
      last_y = y[j].target;
      last_target = combine(last_x, last_y);
      has_last = true;
    }
    Append(out, last, last_target);
    if (x[i].last == last) ++i;
    if (y[j].last == last) ++j;
  }
}

std::span<const RowEntry> RegexPool::Row(Regex r) {
  if (nodes_[r].row_begin < 0) {
    std::vector<RowEntry> row;
    Spend(16);
    ComputeRow(r, &row);
    if (rows_.size() + row.size() > limits_.regex_row_entries_max) {
      Throw(ErrorCode::kExhausted, "regular languages need more than {} transitions",
            limits_.regex_row_entries_max);
    }
    nodes_[r].row_begin = static_cast<int32_t>(rows_.size());
    nodes_[r].row_size = static_cast<uint32_t>(row.size());
    rows_.insert(rows_.end(), row.begin(), row.end());
  }
  return std::span(rows_).subspan(nodes_[r].row_begin, nodes_[r].row_size);
}

void RegexPool::ComputeRow(Regex r, std::vector<RowEntry>* out) {
  const Node node = nodes_[r];
  switch (node.kind) {
    case Kind::kNothing:
    case Kind::kEpsilon:
    case Kind::kTag:
      break;
    case Kind::kEverything:
      out->push_back({kCodePointMax, kEverything});
      break;
    case Kind::kSet:
      for (const CodePointRange& range : sets_[node.a].ranges()) {
        AppendRange(out, range.first, range.last, kEpsilon);
      }
      break;
    case Kind::kCat: {
      if (nodes_[node.a].kind == Kind::kSet) {
        for (const CodePointRange& range : sets_[nodes_[node.a].a].ranges()) {
          AppendRange(out, range.first, range.last, node.b);
        }
        break;
      }
      const auto span = Row(node.a);
      std::vector<RowEntry> left(span.begin(), span.end());
      for (RowEntry& entry : left) entry.target = Cat(entry.target, node.b);
      if (!nodes_[node.a].nullable) {
        for (const RowEntry& entry : left) Append(out, entry.last, entry.target);
      } else {
        const auto row = Row(node.b);
        const std::vector<RowEntry> right(row.begin(), row.end());
        MergeRows(
            left, right, [&](Regex a, Regex b) { return Or(a, b); }, out);
      }
      break;
    }
    case Kind::kOr:
      UnionRow(node, out);
      break;
    case Kind::kAnd: {
      const std::vector<uint32_t> children(Children(node).begin(), Children(node).end());
      const auto first = Row(children[0]);
      std::vector<RowEntry> merged(first.begin(), first.end());
      std::vector<RowEntry> next;
      for (size_t i = 1; i < children.size(); ++i) {
        const auto span = Row(children[i]);
        const std::vector<RowEntry> row(span.begin(), span.end());
        MergeRows(
            merged, row, [&](Regex a, Regex b) { return And(a, b); }, &next);
        merged.swap(next);
      }
      *out = std::move(merged);
      break;
    }
    case Kind::kNot: {
      const auto span = Row(node.a);
      const std::vector<RowEntry> row(span.begin(), span.end());
      for (const RowEntry& entry : row) Append(out, entry.last, Not(entry.target));
      break;
    }
    case Kind::kRepeat: {
      const auto span = Row(node.a);
      const std::vector<RowEntry> row(span.begin(), span.end());
      const Regex rest = Repeat(node.a, node.b == 0 ? 0 : node.b - 1,
                                node.c == kUnbounded ? kUnbounded : node.c - 1);
      for (const RowEntry& entry : row) Append(out, entry.last, Cat(entry.target, rest));
      break;
    }
    case Kind::kNames:
      NamesRow(node, out);
      break;
    case Kind::kMultiples:
      MultiplesRow(node, out);
      break;
    case Kind::kFraction:
      FractionRow(node, out);
      break;
  }
  Finish(out);
}

void RegexPool::NamesRow(const Node& node, std::vector<RowEntry>* out) {
  const std::vector<Name>& names = name_tables_[node.a];
  uint32_t i = node.b;
  if (names_[names[i]].size == node.d) ++i;
  while (i < node.c) {
    const char32_t c = TextOf(names[i])[node.d];
    const auto end = std::partition_point(names.begin() + i, names.begin() + node.c,
                                          [&](Name name) { return TextOf(name)[node.d] == c; });
    const auto last = static_cast<uint32_t>(end - names.begin());
    AppendRange(out, c, c, NamesNode(node.a, i, last, node.d + 1));
    i = last;
  }
}

void RegexPool::MultiplesRow(const Node& node, std::vector<RowEntry>* out) {
  const auto [divisor, scale] = moduli_[node.a];
  const uint64_t remainder = uint64_t{node.d} << 32 | node.c;
  if (node.b == 0) AppendRange(out, '.', '.', MultiplesNode(node.a, 1, remainder));
  const bool past_scale = node.b > scale;  // phase 1 + scale: only zeros may follow
  for (uint32_t digit = 0; digit < 10; ++digit) {
    if (past_scale) {
      if (digit == 0 && remainder == 0)
        AppendRange(out, '0', '0', MultiplesNode(node.a, node.b, 0));
      break;
    }
    const auto next =
        static_cast<uint64_t>((static_cast<UInt128>(remainder) * 10 + digit) % divisor);
    AppendRange(out, '0' + digit, '0' + digit,
                MultiplesNode(node.a, node.b == 0 ? 0 : node.b + 1, next));
  }
}

void RegexPool::FractionRow(const Node& node, std::vector<RowEntry>* out) {
  std::vector<RowEntry> digits;
  if (node.c + 1 < node.b) {
    AppendRange(&digits, '0', '0', FractionNode(node.a, node.b, node.c + 1, node.d));
    AppendRange(&digits, '1', '9', FractionNode(node.a, node.b, node.c + 1, node.c + 1));
  }
  Finish(&digits);
  if (node.c == 0) {
    *out = std::move(digits);
    return;
  }
  const auto span = Row(children_[node.a + node.d]);
  const std::vector<RowEntry> tail(span.begin(), span.end());
  MergeRows(
      digits, tail, [](Regex a, Regex b) { return a == kNothing ? b : a; }, out);
}

Regex RegexPool::Derive(Regex r, uint32_t symbol) {
  const auto row = Row(r);
  return std::lower_bound(row.begin(), row.end(), symbol,
                          [](const RowEntry& entry, uint32_t value) { return entry.last < value; })
      ->target;
}

bool RegexPool::Matches(Regex r, std::u32string_view text) {
  for (const char32_t c : text) r = Derive(r, c);
  return Nullable(r);
}

bool RegexPool::IsEmpty(Regex r) {
  const Emptiness known = nodes_[r].emptiness;
  if (known != Emptiness::kUnknown) return known == Emptiness::kEmpty;
  const Node node = nodes_[r];
  bool empty = false;
  switch (node.kind) {
    case Kind::kCat:
      empty = IsEmpty(node.a) || IsEmpty(node.b);
      break;
    case Kind::kRepeat:
      empty = node.b > 0 && IsEmpty(node.a);
      break;
    case Kind::kOr: {
      const std::vector<uint32_t> children(Children(node).begin(), Children(node).end());
      empty = std::all_of(children.begin(), children.end(), [&](Regex c) { return IsEmpty(c); });
      break;
    }
    default:
      return !Search(r);
  }
  nodes_[r].emptiness = empty ? Emptiness::kEmpty : Emptiness::kNonEmpty;
  return empty;
}

// Whether a string is found, depth first (nearly every language has one, and long minimum lengths
// make breadth expensive). All visited are empty if none is; those on the way are not if one is.
bool RegexPool::Search(Regex start) {
  struct Visit {
    Regex state;
    std::vector<Regex> next;
  };
  std::unordered_set<Regex> seen{start};
  std::vector<Visit> path;
  const auto enter = [&](Regex state) {
    Spend(8);
    Visit visit{state, {}};
    const auto span = Row(state);
    uint32_t first = 0;
    for (const RowEntry& entry : span) {
      const bool only_surrogates = first >= kSurrogateFirst && entry.last <= kSurrogateLast;
      first = entry.last + 1;
      if (entry.target != kNothing && !only_surrogates) visit.next.push_back(entry.target);
    }
    // Low symbols first: of numbers that is digits before exponents, which take longer to end.
    std::reverse(visit.next.begin(), visit.next.end());
    path.push_back(std::move(visit));
  };
  enter(start);
  while (!path.empty()) {
    if (path.back().next.empty()) {
      path.pop_back();
      continue;
    }
    const Regex next = path.back().next.back();
    path.back().next.pop_back();
    const Node& node = nodes_[next];
    bool found = node.nullable || node.emptiness == Emptiness::kNonEmpty;
    if (node.emptiness == Emptiness::kEmpty) continue;
    if (!found && (node.kind == Kind::kCat || node.kind == Kind::kOr)) {
      // A concatenation of independent parts is decided part by part.
      if (node.kind == Kind::kCat && nodes_[node.b].emptiness == Emptiness::kEmpty) continue;
    }
    if (found) {
      for (const Visit& visit : path) nodes_[visit.state].emptiness = Emptiness::kNonEmpty;
      return true;
    }
    if (!seen.insert(next).second) continue;
    if (seen.size() > limits_.emptiness_steps_max) {
      Throw(ErrorCode::kExhausted,
            "whether an intersection of patterns has a string takes more than {} steps to find",
            limits_.emptiness_steps_max);
    }
    enter(next);
  }
  for (const Regex state : seen) nodes_[state].emptiness = Emptiness::kEmpty;
  return false;
}

uint32_t RegexPool::LongestNeed(Regex r) {
  const Need need = NeedOf(r);
  return std::max(need.least, need.longest);
}

RegexPool::Need RegexPool::NeedOf(Regex r) {
  if (const auto it = needs_.find(r); it != needs_.end()) return it->second;
  const Node node = nodes_[r];
  const auto add = [](uint64_t a, uint64_t b) {
    return static_cast<uint32_t>(std::min<uint64_t>(a + b, kUnbounded));
  };
  Need need;
  switch (node.kind) {
    case Kind::kSet:
      need = {1, 0};
      break;
    case Kind::kCat: {
      // Concatenations lean to the right: iterate, so that long literals do not recurse.
      std::vector<Regex> parts;
      Regex at = r;
      for (; nodes_[at].kind == Kind::kCat; at = nodes_[at].b) parts.push_back(nodes_[at].a);
      need = NeedOf(at);
      for (size_t i = parts.size(); i-- > 0;) {
        const Need part = NeedOf(parts[i]);
        need.longest = std::max(add(part.longest, need.least), need.longest);
        need.least = add(part.least, need.least);
      }
      break;
    }
    case Kind::kOr: {
      const std::vector<uint32_t> children(Children(node).begin(), Children(node).end());
      need.least = kUnbounded;
      for (const Regex child : children) {
        const Need part = NeedOf(child);
        need.least = std::min(need.least, part.least);
        need.longest = std::max(need.longest, part.longest);
      }
      break;
    }
    case Kind::kRepeat: {
      const Need part = NeedOf(node.a);
      need.least = add(uint64_t{part.least} * node.b, 0);
      need.longest = add(part.longest, node.b > 0 ? uint64_t{part.least} * (node.b - 1) : 0);
      break;
    }
    case Kind::kFraction:
      need.least = kUnbounded;
      for (uint32_t i = 0; i < node.b; ++i) {
        const Need part = NeedOf(children_[node.a + i]);
        need.longest = std::max({need.longest, part.longest, add(part.least, 1)});
        // Digits up to where the i-th is the last that is not 0; those before it are past.
        const uint32_t digits = i > node.c    ? i - node.c
                                : i == node.d ? (node.c == 0 ? 1 : 0)
                                              : kUnbounded;
        need.least = std::min(need.least, add(part.least, digits));
      }
      break;
    case Kind::kNames:
      need.least = kUnbounded;
      for (uint32_t i = node.b; i < node.c; ++i) {
        const uint32_t size = names_[name_tables_[node.a][i]].size - node.d;
        need.least = std::min(need.least, size);
        need.longest = std::max(need.longest, size);
      }
      break;
    default:
      break;
  }
  needs_[r] = need;
  return need;
}

// Seen at a glance, of so many visits; false if it is not.
bool RegexPool::IsFinite(Regex r, int* visits) const {
  const Node& node = nodes_[r];
  if (--*visits < 0) return false;
  switch (node.kind) {
    case Kind::kNothing:
    case Kind::kEpsilon:
    case Kind::kSet:
    case Kind::kTag:
    case Kind::kNames:
      return true;
    case Kind::kCat:
      return IsFinite(node.a, visits) && IsFinite(node.b, visits);
    case Kind::kOr: {
      const auto children = Children(node);
      return std::all_of(children.begin(), children.end(),
                         [&](Regex child) { return IsFinite(child, visits); });
    }
    case Kind::kRepeat:
      return node.c != kUnbounded && IsFinite(node.a, visits);
    default:
      return false;
  }
}

// Whether some string follows every string, seen at a glance: all but finitely many do.
bool RegexPool::NeverDies(Regex r, int* visits) const {
  const Node& node = nodes_[r];
  if (--*visits < 0) return false;
  if (node.kind == Kind::kEverything) return true;
  if (node.kind == Kind::kNot) return IsFinite(node.a, visits);
  if (node.kind == Kind::kCat)
    return nodes_[node.b].kind == Kind::kTag && NeverDies(node.a, visits);
  if (!HasList(node.kind)) return false;
  const auto children = Children(node);
  if (node.kind == Kind::kOr) {
    return std::any_of(children.begin(), children.end(),
                       [&](Regex child) { return NeverDies(child, visits); });
  }
  return node.kind == Kind::kAnd && std::all_of(children.begin(), children.end(), [&](Regex child) {
           return nodes_[child].kind == Kind::kNot && IsFinite(nodes_[child].a, visits);
         });
}

// Nodes looked at to see whether a language never dies.
constexpr int kNeverDiesVisits = 512;

uint32_t RegexPool::SafeLength(Regex r, uint32_t most) {
  if (const auto it = safe_.find(r); it == safe_.end() || !it->second.searched) {
    int visits = kNeverDiesVisits;
    if (NeverDies(r, &visits)) {
      safe_[r] = {kUnbounded, true};
    } else {
      try {
        SafeSearch(r);
      } catch (const Error& error) {
        // What is not found out is not claimed.
        if (error.code() != ErrorCode::kExhausted) throw;
      }
    }
  }
  return std::min(safe_[r].length, most);
}

uint32_t RegexPool::KnownSafeLength(Regex r) {
  const auto [it, is_new] = safe_.try_emplace(r);
  int visits = kNeverDiesVisits;
  if (is_new && NeverDies(r, &visits)) it->second = {kUnbounded, true};
  return it->second.length;
}

// Breadth first, as far as a few states reach: complements die late, and return to where they
// began. Then back from those that may die next, so that all on the way are known at once.
void RegexPool::SafeSearch(Regex r) {
  constexpr size_t kStatesMax = 160;
  constexpr uint32_t kWorthwhile = 2;
  static_assert(kStatesMax + 1 < kSafeLengthMax);  // which stands for an endless one
  struct State {
    Regex r = kNothing;
    uint32_t depth = 0;
    uint32_t safe = kUnbounded;
    std::vector<uint32_t> before;
  };
  safe_[r].searched = true;
  if (IsEmpty(r)) return;
  std::vector<State> states;
  const uint32_t first_mark = num_searched_ + 1;
  const auto find = [&](Regex state, uint32_t depth) {
    if (searched_.size() < nodes_.size()) searched_.resize(nodes_.size() + nodes_.size() / 2, 0);
    if (searched_[state] < first_mark) {
      searched_[state] = ++num_searched_;
      states.push_back({state, depth, kUnbounded, {}});
    }
    return searched_[state] - first_mark;
  };
  find(r, 0);
  std::vector<uint32_t> may_die;
  std::vector<RowEntry> row;
  uint32_t i = 0;
  for (; i < states.size() && states.size() <= kStatesMax; ++i) {
    const auto span = Row(states[i].r);
    row.assign(span.begin(), span.end());
    Spend(row.size() / 8);
    uint32_t first = 0;
    for (const RowEntry& entry : row) {
      const bool only_surrogates = first >= kSurrogateFirst && entry.last <= kSurrogateLast;
      first = entry.last + 1;
      if (only_surrogates) continue;
      if (IsEmpty(entry.target)) {
        states[i].safe = 0;
        break;
      }
      const uint32_t to = find(entry.target, states[i].depth + 1);
      auto& before = states[to].before;
      if (before.empty() || before.back() != i) before.push_back(i);
    }
    if (states[i].safe != 0) continue;
    if (states[i].depth < kWorthwhile) {
      safe_[r].length = states[i].depth;
      return;
    }
    may_die.push_back(i);
  }
  const bool all = i == states.size();
  for (; i < states.size(); ++i) {
    states[i].safe = 0;  // not looked at
    may_die.push_back(i);
  }
  for (size_t n = 0; n < may_die.size(); ++n) {
    const State& at = states[may_die[n]];
    for (const uint32_t from : at.before) {
      if (states[from].safe != kUnbounded) continue;
      states[from].safe = at.safe + 1;
      may_die.push_back(from);
    }
  }
  for (const State& state : states) {
    Safe& safe = safe_[state.r];
    safe.length = std::max(safe.length, state.safe);
    safe.searched = safe.searched || all;
  }
}

}  // namespace retort::grammar
