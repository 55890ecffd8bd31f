// Alternatives: what is left out of them, and their derivatives.
#include <algorithm>
#include <tuple>
#include <utility>

#include "retort/grammar/regex_pool.h"

namespace retort::grammar {

Regex RegexPool::Or(const std::vector<Regex>& parts) {
  std::vector<Regex> flat;
  CodePointSet set;
  int num_sets = 0;
  Regex one_set = kNothing;
  const auto add = [&](Regex part) {
    if (part == kNothing) return;
    if (nodes_[part].kind == Kind::kSet) {
      if (num_sets > 0 && part == one_set) return;
      set = num_sets == 0 ? sets_[nodes_[part].a] : set.Union(sets_[nodes_[part].a]);
      one_set = part;
      ++num_sets;
      return;
    }
    flat.push_back(part);
  };
  for (const Regex part : parts) {
    if (part == kEverything) return kEverything;
    if (nodes_[part].kind == Kind::kOr) {
      for (const Regex child : Children(nodes_[part])) add(child);
    } else {
      add(part);
    }
  }
  if (num_sets > 0) flat.push_back(num_sets == 1 ? one_set : Set(set));
  if (flat.empty()) return kNothing;
  if (flat.size() > 1) DropImplied(&flat);
  return MakeList(Kind::kOr, std::move(flat));
}

// x{m,n} and then anything is in x{k} and then anything, if k <= m: of such, the least counts. A
// pattern that is searched for begins anew at each character, and would keep them all.
void RegexPool::DropImplied(std::vector<Regex>* alternatives) const {
  struct Counted {
    Regex body = kNothing;
    uint32_t min = 0;
  };
  const auto counted = [&](Regex r) -> Counted {
    const Node& node = nodes_[r];
    if (node.kind != Kind::kCat || node.b != kEverything) return {};
    const Node& first = nodes_[node.a];
    return first.kind == Kind::kRepeat ? Counted{first.a, first.b} : Counted{node.a, 1};
  };
  size_t num_counted = 0;
  for (const Regex r : *alternatives) num_counted += counted(r).body != kNothing ? 1 : 0;
  if (num_counted < 2) return;
  std::vector<std::pair<Counted, Regex>> known;
  std::erase_if(*alternatives, [&](Regex r) {
    const Counted one = counted(r);
    if (one.body == kNothing) return false;
    known.emplace_back(one, r);
    return true;
  });
  std::sort(known.begin(), known.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first.body, a.first.min) < std::tie(b.first.body, b.first.min);
  });
  Regex body = kNothing;
  for (const auto& [one, r] : known) {
    if (one.body != body) alternatives->push_back(r);
    body = one.body;
  }
}

Regex RegexPool::Without(Regex r, std::u32string_view text) {
  std::vector<Regex> path{r};
  for (const char32_t c : text) {
    path.push_back(Derive(path.back(), c));
    if (path.back() == kNothing) return r;
  }
  if (!Nullable(path.back())) return r;
  Regex rest = kNothing;
  std::vector<Regex> parts;
  for (size_t i = path.size(); i-- > 0;) {
    // What begins with text[i] goes on as `rest` does; at the end, the empty string is left out.
    const bool at_end = i == text.size();
    parts.clear();
    if (!at_end && Nullable(path[i])) parts.push_back(kEpsilon);
    const auto span = Row(path[i]);
    const std::vector<RowEntry> row(span.begin(), span.end());
    Spend(row.size());
    const auto add = [&](uint32_t first, uint32_t last, Regex target) {
      if (first <= last && target != kNothing) parts.push_back(Cat(Set({{first, last}}), target));
    };
    uint32_t first = 0;
    for (const RowEntry& entry : row) {
      if (at_end || text[i] < first || text[i] > entry.last) {
        add(first, entry.last, entry.target);
      } else {
        if (text[i] > first) add(first, text[i] - 1, entry.target);
        add(text[i], text[i], rest);
        add(text[i] + 1, entry.last, entry.target);
      }
      first = entry.last + 1;
    }
    rest = Or(parts);
  }
  return rest;
}

// All alternatives at once, from the least symbol to the greatest: merged one by one, a long list
// would be made as many times as it has members.
void RegexPool::UnionRow(const Node& node, std::vector<RowEntry>* out) {
  struct Part {
    uint32_t first = 0;
    uint32_t last = 0;
    Regex target = kNothing;
  };
  const std::vector<uint32_t> children(Children(node).begin(), Children(node).end());
  std::vector<Part> parts;
  for (const Regex child : children) {
    uint32_t first = 0;
    for (const RowEntry& entry : Row(child)) {
      if (entry.target != kNothing) parts.push_back({first, entry.last, entry.target});
      first = entry.last + 1;
    }
  }
  Spend(2 * parts.size());
  std::sort(parts.begin(), parts.end(),
            [](const Part& a, const Part& b) { return a.first < b.first; });
  const auto append = [&](uint32_t last, Regex target) {
    if (!out->empty() && out->back().target == target) {
      out->back().last = last;
    } else {
      out->push_back({last, target});
    }
  };
  std::vector<Part> here;
  std::vector<Regex> targets;
  std::vector<Regex> targets_before;
  Regex target = kNothing;  // of targets_before
  size_t i = 0;
  uint32_t at = 0;
  while (i < parts.size() || !here.empty()) {
    if (here.empty() && parts[i].first > at) {
      append(parts[i].first - 1, kNothing);
      at = parts[i].first;
    }
    for (; i < parts.size() && parts[i].first == at; ++i) here.push_back(parts[i]);
    uint32_t last = i < parts.size() ? parts[i].first - 1 : kCodePointMax;
    targets.clear();
    for (const Part& part : here) {
      last = std::min(last, part.last);
      targets.push_back(part.target);
    }
    Spend(1 + here.size() / 4);
    // Neighbouring ranges often lead to the same.
    if (targets != targets_before) {
      target = targets.size() == 1 ? targets[0] : Or(targets);
      targets_before.swap(targets);
    }
    append(last, target);
    std::erase_if(here, [&](const Part& part) { return part.last == last; });
    at = last + 1;
  }
  if (at <= kCodePointMax) append(kCodePointMax, kNothing);
}

}  // namespace retort::grammar
