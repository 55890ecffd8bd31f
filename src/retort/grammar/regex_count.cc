// How many strings a language has, and which.
#include <algorithm>
#include <unordered_map>

#include "retort/grammar/regex_pool.h"

namespace retort::grammar {
namespace {

// Of [first, last], without surrogates.
uint64_t NumCharacters(uint32_t first, uint32_t last) {
  const uint32_t low = std::max(first, kSurrogateFirst);
  const uint32_t high = std::min(last, kSurrogateLast);
  return uint64_t{last} - first + 1 - (low <= high ? high - low + 1 : 0);
}

constexpr size_t kLengthMax = 1024;        // longer languages are not counted
constexpr uint64_t kStatesPerString = 64;  // nor those with so many more states than strings

}  // namespace

uint64_t RegexPool::Count(Regex r, uint64_t limit, std::vector<std::u32string>* strings) {
  const uint64_t count = CountUpTo(r, limit);
  if (strings != nullptr && count < limit) List(r, strings);
  return count;
}

// Depth first, each state once. Every state that is met has a string and can be come to, so that a
// way back to one that is not done yet means endlessly many strings.
uint64_t RegexPool::CountUpTo(Regex r, uint64_t limit) {
  struct Visit {
    Regex state = kNothing;
    size_t next = 0;  // entry of its row
    uint64_t count = 0;
    uint64_t weight = 0;  // in how many ways the state before it leads here
  };
  constexpr uint64_t kNotDone = UINT64_MAX;
  if (IsEmpty(r)) return 0;
  std::unordered_map<Regex, uint64_t> counts{{r, kNotDone}};
  std::vector<Visit> path{{r, 0, Nullable(r) ? 1u : 0u, 1}};
  for (;;) {
    Visit& at = path.back();
    if (at.count >= limit) return limit;
    const auto row = Row(at.state);
    if (at.next == row.size()) {
      const uint64_t count = at.count;
      const uint64_t weight = at.weight;
      counts[at.state] = count;
      path.pop_back();
      if (path.empty()) return count;
      path.back().count += weight * count;
      continue;
    }
    const uint32_t first = at.next == 0 ? 0 : row[at.next - 1].last + 1;
    const RowEntry entry = row[at.next++];
    const uint64_t weight = NumCharacters(first, entry.last);
    if (entry.target == kNothing || weight == 0 || IsEmpty(entry.target)) continue;
    const auto [it, is_new] = counts.try_emplace(entry.target, kNotDone);
    if (!is_new) {
      if (it->second == kNotDone) return limit;
      path.back().count += weight * it->second;
      continue;
    }
    if (path.size() > kLengthMax || counts.size() > (limit + 1) * kStatesPerString) return limit;
    path.push_back({entry.target, 0, Nullable(entry.target) ? 1u : 0u, weight});
  }
}

// Of a finite language.
void RegexPool::List(Regex r, std::vector<std::u32string>* strings) {
  std::vector<std::pair<Regex, std::u32string>> stack;
  if (!IsEmpty(r)) stack.emplace_back(r, U"");
  while (!stack.empty()) {
    const auto [state, text] = std::move(stack.back());
    stack.pop_back();
    if (Nullable(state)) strings->push_back(text);
    const auto span = Row(state);
    const std::vector<RowEntry> row(span.begin(), span.end());
    uint32_t first = 0;
    for (const RowEntry& entry : row) {
      const uint32_t from = first;
      first = entry.last + 1;
      if (entry.target == kNothing || IsEmpty(entry.target)) continue;
      for (uint32_t c = from; c <= entry.last; ++c) {
        if (c >= kSurrogateFirst && c <= kSurrogateLast) continue;
        stack.emplace_back(entry.target, text + static_cast<char32_t>(c));
      }
    }
  }
}

}  // namespace retort::grammar
