#include "retort/grammar/mask_entries.h"

#include <algorithm>
#include <bit>
#include <unordered_set>

namespace retort::grammar {
namespace {

constexpr size_t kSparseIdsMax = 2048;
constexpr uint64_t kMemoBytesMax = 32u << 20;  // of one grammar's entries
// A string of which so many characters are safe is walked only where it may die or end.
constexpr uint32_t kSafeMin = 2;
// Nodes of a walk in which one unit of work is done.
constexpr uint32_t kNodesPerUnit = 2;
constexpr uint32_t kNodesPerCheck = 4096;

}  // namespace

// What a walk through all tokens found; ranges ascend.
struct MaskEntries::Found {
  std::vector<Tokens> alive;
  std::vector<Tokens> ended;  // exactly at the end of a string
  std::vector<Ending> endings;
  uint32_t num_alive = 0;

  void Allow(uint32_t begin, uint32_t end) {
    num_alive += end - begin;
    if (!alive.empty() && alive.back().end == begin) {
      alive.back().end = end;
    } else if (begin != end) {
      alive.push_back({begin, end});
    }
  }
};

std::shared_ptr<const MaskEntry> MaskEntries::Find(uint32_t node, LexState state, bool exits) {
  const uint32_t node_key = node << 1 | (exits ? 1 : 0);
  const uint64_t own_key = uint64_t{node_key} << 32 | state;
  const auto it = memo_->entries.find(own_key);
  if (it != memo_->entries.end()) return it->second;
  const Vocabulary::MaskKey key{lexer_.HashOf(state), node_key};
  auto entry = vocabulary_.FindMask(key);
  if (entry == nullptr) {
    entry = Make(node, state, exits);
    vocabulary_.KeepMask(key, entry);
  }
  const uint64_t bytes = entry->memory_bytes();
  if (memo_->entry_bytes + bytes > kMemoBytesMax) {
    // Begin anew, as the vocabulary does.
    memo_->entries.clear();
    memo_->entry_bytes = 0;
  }
  memo_->entry_bytes += bytes;
  memo_->entries.emplace(own_key, entry);
  return entry;
}

// Bounds on a string's length that no token can reach make no difference to a mask.
LexState MaskEntries::WithoutDistantBounds(LexState state) {
  const auto rest = lexer_.StringRest(state);
  if (!rest) return state;
  if (const auto both = lexer_.pool().SplitLengths(*rest)) {
    // A pattern and a maximum: out of reach if, wherever a token leads, the pattern can still end
    // below it.
    const uint64_t reach =
        uint64_t{vocabulary_.string_profile().count_max} + lexer_.pool().LongestNeed(both->first);
    const bool no_min = both->second.min <= lexer_.pool().ShortestLength(both->first);
    return no_min && both->second.max >= reach ? lexer_.StringBody(both->first) : state;
  }
  const auto lengths = lexer_.pool().LengthsOf(*rest);
  if (!lengths || (lengths->min == 0 && lengths->max == kUnbounded)) return state;
  const uint32_t beyond = vocabulary_.string_profile().count_max + 1;
  const uint32_t min = std::min(lengths->min, beyond);
  const uint32_t max = lengths->max >= beyond ? kUnbounded : lengths->max;
  RegexPool& pool = lexer_.pool();
  return lexer_.StringBody(pool.Repeat(pool.Set(CodePointSet::Any()), min, max));
}

std::shared_ptr<const MaskEntry> MaskEntries::Make(uint32_t node, LexState state, bool with_exits) {
  // Of tokens from their beginning, what is known of all strings helps.
  const auto rest = node == TokenTrie::kRoot ? lexer_.StringRest(state) : std::nullopt;
  if (rest) {
    if (const auto lengths = lexer_.pool().LengthsOf(*rest)) return OfLengths(*lengths, with_exits);
    const auto both = lexer_.pool().SplitLengths(*rest);
    if (both && both->second.min <= lexer_.pool().ShortestLength(both->first)) {
      return OfPattern(state, both->first, both->second.max, with_exits);
    }
  }
  Found found;
  Walk(node, state, with_exits, &found);
  auto entry = std::make_shared<MaskEntry>();
  WriteTokens(found, rest.has_value(), entry.get());
  MakeExits(found.endings, rest.has_value(), entry.get());
  return entry;
}

void MaskEntries::WriteTokens(const Found& found, bool from_strings, MaskEntry* entry) {
  const std::span<const int32_t> ids = vocabulary_.trie().tokens();
  auto& bits = entry->bits;
  const auto for_each = [&](uint32_t begin, uint32_t end, const auto& visit) {
    for (const int32_t id : ids.subspan(begin, end - begin)) visit(id);
  };
  const auto set = [&](int32_t id) { bits[id >> 5] |= 1u << (id & 31); };
  const auto clear = [&](int32_t id) { bits[id >> 5] &= ~(1u << (id & 31)); };
  const auto add = [&](int32_t id) { entry->ids.push_back(id); };
  if (from_strings && found.num_alive > ids.size() / 2) {
    // Fewer bits to clear than to set.
    bits = vocabulary_.string_profile().within.back();
    uint32_t at = 0;
    for (const Tokens& range : found.alive) {
      for_each(at, range.begin, clear);
      at = range.end;
    }
    for_each(at, static_cast<uint32_t>(ids.size()), clear);
    for (const Tokens& range : found.ended) for_each(range.begin, range.end, set);
    return;
  }
  const std::vector<uint32_t>& within = vocabulary_.string_profile().within.back();
  const bool is_sparse = found.num_alive <= kSparseIdsMax;
  if (is_sparse) {
    const auto add_within = [&](int32_t id) {
      if (!from_strings || (within[id >> 5] >> (id & 31) & 1) != 0) entry->ids.push_back(id);
    };
    for (const Tokens& range : found.alive) for_each(range.begin, range.end, add_within);
    for (const Tokens& range : found.ended) for_each(range.begin, range.end, add);
    return;
  }
  bits.resize(vocabulary_.num_mask_words());
  for (const Tokens& range : found.alive) for_each(range.begin, range.end, set);
  if (from_strings) {
    for (size_t i = 0; i < bits.size(); ++i) bits[i] &= within[i];
  }
  for (const Tokens& range : found.ended) for_each(range.begin, range.end, set);
}

// In the order of the tokens. Of those from the root under which all is alive `found` may have some
// that are not in any string: WriteTokens leaves them out.
void MaskEntries::Walk(uint32_t node, LexState state, bool with_exits, Found* found) {
  const bool of_string = lexer_.StringRest(state).has_value();
  bool by_safety = of_string && node == TokenTrie::kRoot;
  if (by_safety) {
    lexer_.FindSafeLength(state);
    by_safety = lexer_.SafeLength(state, kSafeMin) >= kSafeMin;
  }
  const auto all_live = [&](const TokenStream::Below& below, LexState at) {
    if (lexer_.Keeps(at, below)) return true;
    return by_safety && (below.groups & GroupOf('"')) == 0 &&
           lexer_.SafeLength(at, below.height) >= below.height;
  };
  const TokenStream& stream = vocabulary_.token_stream();
  uint32_t i = 0;
  uint32_t end = stream.size();
  std::vector<Lexer::Reader> path(stream.depth_max() + 1);  // by depth
  path[0] = lexer_.ReaderOf(state);
  if (node != TokenTrie::kRoot) {
    const uint32_t place = stream.place_of(node);
    path[stream.node(place).depth] = path[0];
    i = stream.next(place);
    end = stream.node(place).end;
  }
  uint32_t num_visited = 0;
  while (i < end) {
    if (++num_visited % kNodesPerCheck == 0) lexer_.pool().Spend(kNodesPerCheck / kNodesPerUnit);
    const TokenStream::Node at = stream.node(i);
    const LexState next = lexer_.Step(path[at.depth - 1], at.byte);
    if (next == kDeadState) {
      i = at.end;
      continue;
    }
    const uint32_t first_below = stream.next(i);
    const uint32_t below = stream.node(first_below).tokens_begin;
    if (lexer_.Accepts(next)) {
      const uint32_t after = stream.node(at.end).tokens_begin;
      if (with_exits && below != after) {
        AddEndings(next, {below, after}, at.depth, &found->endings);
      }
      if (of_string) {  // the closing quote: nothing of the string is left
        if (at.tokens_begin != below) found->ended.push_back({at.tokens_begin, below});
        i = at.end;
        continue;
      }
    } else if (at.is_described == 1 && all_live(stream.below(i), next)) {
      found->Allow(at.tokens_begin, stream.node(at.end).tokens_begin);
      i = at.end;
      continue;
    }
    found->Allow(at.tokens_begin, below);
    if (first_below != at.end) path[at.depth] = lexer_.ReaderOf(next);
    i = first_below;
  }
  lexer_.pool().Spend(1 + num_visited % kNodesPerCheck / kNodesPerUnit);
}

void MaskEntries::AddEndings(LexState state, Tokens tokens, uint32_t depth,
                             std::vector<Ending>* endings) {
  for (const uint32_t label : lexer_.Labels(state)) endings->push_back({label, depth, tokens});
}

void MaskEntries::MakeExits(std::span<const Ending> endings, bool from_strings, MaskEntry* entry) {
  std::vector<uint32_t> labels;
  for (const Ending& ending : endings) {
    if (std::find(labels.begin(), labels.end(), ending.label) == labels.end()) {
      labels.push_back(ending.label);
    }
  }
  const std::span<const int32_t> ids = vocabulary_.trie().tokens();
  const Vocabulary::StringProfile& profile = vocabulary_.string_profile();
  for (const uint32_t label : labels) {
    std::vector<std::pair<std::string_view, int32_t>> rests;
    for (const Ending& ending : endings) {
      if (ending.label != label) continue;
      for (uint32_t i = ending.tokens.begin; i < ending.tokens.end; ++i) {
        rests.emplace_back(vocabulary_.Text(ids[i]).substr(ending.depth), ids[i]);
      }
    }
    // No token ends a string that does not end any.
    const bool all = from_strings && rests.size() == profile.num_rests;
    entry->exits.push_back(
        {label, all ? profile.rests : std::make_shared<const TokenTrie>(std::move(rests))});
  }
}

// The entry of a string of which only the length matters: from counts made once.
std::shared_ptr<const MaskEntry> MaskEntries::OfLengths(RegexPool::Lengths lengths,
                                                        bool with_exits) {
  const Vocabulary::StringProfile& profile = vocabulary_.string_profile();
  auto entry = std::make_shared<MaskEntry>();
  entry->bits = profile.within[std::min(lengths.max, profile.count_max)];
  std::vector<std::pair<std::string_view, int32_t>> rests;
  for (const auto& end : profile.ends) {
    if (end.count < lengths.min || end.count > lengths.max) continue;
    if (end.rest.empty()) {
      entry->bits[end.id >> 5] |= 1u << (end.id & 31);
    } else if (with_exits) {
      rests.emplace_back(end.rest, end.id);
    }
  }
  if (!rests.empty()) {
    const bool all = rests.size() == profile.num_rests;
    entry->exits.push_back(
        {0, all ? profile.rests : std::make_shared<const TokenTrie>(std::move(rests))});
  }
  return entry;
}

// The entry of a string with a pattern and a maximum: as of the pattern alone, but for tokens with
// many characters.
std::shared_ptr<const MaskEntry> MaskEntries::OfPattern(LexState state, Regex pattern, uint32_t max,
                                                        bool with_exits) {
  const Vocabulary::StringProfile& profile = vocabulary_.string_profile();
  const auto within = [&](uint32_t count) -> const std::vector<uint32_t>& {
    return profile.within[std::min(count, profile.count_max)];
  };
  const auto has = [](const std::vector<uint32_t>& bits, int32_t id) {
    return (bits[id >> 5] >> (id & 31) & 1) != 0;
  };
  const uint32_t need = lexer_.pool().LongestNeed(pattern);
  const LexState free = lexer_.StringBody(pattern);
  auto entry = std::make_shared<MaskEntry>(*Find(TokenTrie::kRoot, free, with_exits));
  std::unordered_set<int32_t> too_long;  // of those in which the string ends
  for (const auto& end : profile.ends) {
    if (end.count > max) too_long.insert(end.id);
  }
  // Wherever one of `safe` leads, the pattern can end below the maximum; where others do may
  // differ.
  const auto& safe = within(max > need ? max - need : 0);
  const auto& possible = within(max);
  const auto& all = profile.within.back();
  uint64_t num_bytes = 0;
  const auto is_left = [&](int32_t id) {
    if (!has(all, id)) return !too_long.contains(id);
    if (has(safe, id) || !has(possible, id)) return has(safe, id);
    const std::string_view text = vocabulary_.Text(id);
    num_bytes += text.size();
    const auto end_of = [&](LexState at) {
      for (size_t i = 0; i < text.size() && at != kDeadState; ++i) {
        at = lexer_.Step(at, static_cast<uint8_t>(text[i]));
      }
      return at;
    };
    if (const auto rest = lexer_.StringRest(end_of(free))) {
      const auto count = std::partition_point(profile.within.begin(), profile.within.end(),
                                              [&](const auto& bits) { return !has(bits, id); });
      return (count - profile.within.begin()) + lexer_.pool().ShortestLength(*rest) <= max;
    }
    return end_of(state) != kDeadState;
  };
  for (size_t i = 0; i < entry->bits.size(); ++i) {
    for (uint32_t doubtful = entry->bits[i] & ~safe[i]; doubtful != 0; doubtful &= doubtful - 1) {
      const auto id = static_cast<int32_t>(i * 32 + std::countr_zero(doubtful));
      if (!is_left(id)) entry->bits[i] &= ~(doubtful & -doubtful);
    }
  }
  std::erase_if(entry->ids, [&](int32_t id) { return !is_left(id); });
  lexer_.pool().Spend(entry->bits.size() / 8 + num_bytes);
  if (too_long.empty()) return entry;
  for (MaskEntry::Exit& exit : entry->exits) {
    const std::unordered_set<int32_t> ids(exit.rest->tokens().begin(), exit.rest->tokens().end());
    std::vector<std::pair<std::string_view, int32_t>> rests;
    for (const auto& end : profile.ends) {
      if (end.count <= max && ids.contains(end.id)) rests.emplace_back(end.rest, end.id);
    }
    exit.rest = std::make_shared<const TokenTrie>(std::move(rests));
  }
  return entry;
}

}  // namespace retort::grammar
