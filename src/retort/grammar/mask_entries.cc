#include "retort/grammar/mask_entries.h"

#include <algorithm>

namespace retort::grammar {
namespace {

constexpr size_t kSparseIdsMax = 2048;
constexpr uint64_t kQuoteGroup = uint64_t{1} << ByteGroup('"');
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
    entry = node == TokenTrie::kRoot ? OfRoot(state, exits) : Below(node, state, exits);
    vocabulary_.KeepMask(key, entry);
  }
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
    return both->second.min == 0 && both->second.max >= reach ? lexer_.StringBody(both->first)
                                                              : state;
  }
  const auto lengths = lexer_.pool().LengthsOf(*rest);
  if (!lengths || (lengths->min == 0 && lengths->max == kUnbounded)) return state;
  const uint32_t beyond = vocabulary_.string_profile().count_max + 1;
  const uint32_t min = std::min(lengths->min, beyond);
  const uint32_t max = lengths->max >= beyond ? kUnbounded : lengths->max;
  RegexPool& pool = lexer_.pool();
  return lexer_.StringBody(pool.Repeat(pool.Set(CodePointSet::Any()), min, max));
}

std::shared_ptr<const MaskEntry> MaskEntries::OfRoot(LexState state, bool with_exits) {
  const auto rest = lexer_.StringRest(state);
  if (rest) {
    if (const auto lengths = lexer_.pool().LengthsOf(*rest)) return OfLengths(*lengths, with_exits);
  }
  Found found;
  Walk(state, with_exits, &found);
  const std::span<const int32_t> ids = vocabulary_.trie().tokens();
  auto entry = std::make_shared<MaskEntry>();
  const auto for_each = [&](std::span<const Tokens> ranges, const auto& visit) {
    for (const Tokens& range : ranges) {
      for (const int32_t id : ids.subspan(range.begin, range.end - range.begin)) visit(id);
    }
  };
  auto& bits = entry->bits;
  const auto set = [&](int32_t id) { bits[id >> 5] |= 1u << (id & 31); };
  if (rest && found.num_alive > ids.size() / 2) {
    // Fewer bits to clear than to set.
    bits = vocabulary_.string_profile().within.back();
    uint32_t at = 0;
    found.alive.push_back({static_cast<uint32_t>(ids.size()), static_cast<uint32_t>(ids.size())});
    for (const Tokens& range : found.alive) {
      for (; at < range.begin; ++at) bits[ids[at] >> 5] &= ~(1u << (ids[at] & 31));
      at = range.end;
    }
    for_each(found.ended, set);
  } else if (found.num_alive > kSparseIdsMax) {
    bits.resize(vocabulary_.num_mask_words());
    for_each(found.alive, set);
    for_each(found.ended, set);
  } else {
    const auto add = [&](int32_t id) { entry->ids.push_back(id); };
    for_each(found.alive, add);
    for_each(found.ended, add);
  }
  MakeExits(found.endings, rest.has_value(), entry.get());
  return entry;
}

// Of the tokens under which all is alive `found` may have those that are not in any string.
void MaskEntries::Walk(LexState state, bool with_exits, Found* found) {
  const PreorderTrie& trie = vocabulary_.preorder();
  const std::span<const PreorderTrie::Node> nodes = trie.nodes();
  const bool of_string = lexer_.StringRest(state).has_value();
  const bool by_safety = of_string && lexer_.SafeLength(state, kSafeMin) >= kSafeMin;
  // All of the tokens below a node stay alive.
  const auto is_safe = [&](const PreorderTrie::Below& below, LexState at) {
    if ((below.groups & ~lexer_.LoopGroups(at)) == 0) return true;
    return by_safety && (below.groups & kQuoteGroup) == 0 &&
           lexer_.SafeLength(at, below.height) >= below.height;
  };
  std::vector<LexState> path(trie.depth_max() + 1);
  path[0] = state;
  const auto end = static_cast<uint32_t>(nodes.size() - 1);
  uint32_t num_visited = 0;
  for (uint32_t i = 0; i < end;) {
    if (++num_visited % kNodesPerCheck == 0) lexer_.pool().Spend(kNodesPerCheck / kNodesPerUnit);
    const PreorderTrie::Node at = nodes[i];
    const LexState next = lexer_.Step(path[at.depth - 1], at.byte);
    if (next == kDeadState) {
      i = at.end;
      continue;
    }
    const uint32_t below = nodes[i + 1].tokens_begin;
    const uint32_t after = nodes[at.end].tokens_begin;
    const bool accepts = lexer_.Accepts(next);
    if (accepts && with_exits && below != after) {
      AddEndings(next, {below, after}, at.depth, &found->endings);
    }
    if (accepts && of_string) {  // the closing quote: nothing of the string is left
      if (at.tokens_begin != below) found->ended.push_back({at.tokens_begin, below});
      i = at.end;
    } else if (at.end != i + 1 && !accepts && is_safe(trie.below(i), next)) {
      found->Allow(at.tokens_begin, after);
      i = at.end;
    } else {
      found->Allow(at.tokens_begin, below);
      path[at.depth] = next;
      ++i;
    }
  }
  lexer_.pool().Spend(num_visited % kNodesPerCheck / kNodesPerUnit);
}

void MaskEntries::AddEndings(LexState state, Tokens tokens, uint32_t depth,
                             std::vector<Ending>* endings) {
  for (const uint32_t label : lexer_.Labels(state)) endings->push_back({label, depth, tokens});
}

void MaskEntries::MakeExits(std::span<const Ending> endings, bool of_string, MaskEntry* entry) {
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
    const bool all = of_string && rests.size() == profile.num_rests;
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

std::shared_ptr<const MaskEntry> MaskEntries::Below(uint32_t node, LexState state,
                                                    bool with_exits) {
  const TokenTrie& trie = vocabulary_.trie();
  auto entry = std::make_shared<MaskEntry>();
  const auto allow = [&](std::span<const int32_t> ids) {
    entry->ids.insert(entry->ids.end(), ids.begin(), ids.end());
  };
  std::vector<Ending> endings;
  struct Work {
    uint32_t node;
    LexState state;
    uint32_t depth;
  };
  std::vector<Work> stack{{node, state, DepthOf(node)}};
  while (!stack.empty()) {
    const Work work = stack.back();
    stack.pop_back();
    const TokenTrie::Node& at = trie.node(work.node);
    lexer_.pool().Spend(at.num_children);
    for (uint32_t i = 0; i < at.num_children; ++i) {
      const uint32_t index = at.first_child + i;
      const TokenTrie::Node& child = trie.node(index);
      const LexState next = lexer_.Step(work.state, child.byte);
      if (next == kDeadState) continue;
      const bool accepts = lexer_.Accepts(next);
      if (!accepts && child.num_children > 0 &&
          (child.groups_below & ~lexer_.LoopGroups(next)) == 0) {
        allow(trie.Subtree(child));
        continue;
      }
      allow(trie.Own(child));
      if (child.num_children == 0) continue;
      if (accepts && with_exits) {
        AddEndings(next, {child.tokens_begin + child.num_own, child.tokens_end}, work.depth + 1,
                   &endings);
      }
      stack.push_back({index, next, work.depth + 1});
    }
  }
  if (entry->ids.size() > kSparseIdsMax) {
    entry->bits.resize(vocabulary_.num_mask_words());
    for (const int32_t id : entry->ids) entry->bits[id >> 5] |= 1u << (id & 31);
    entry->ids = {};
  }
  MakeExits(endings, false, entry.get());
  return entry;
}

// Bytes between the root and a node: every token below begins with the same path, so any will do.
uint32_t MaskEntries::DepthOf(uint32_t node) const {
  const TokenTrie& trie = vocabulary_.trie();
  const std::string_view text = vocabulary_.Text(trie.Below(trie.node(node)).front());
  uint32_t depth = 0;
  for (uint32_t at = TokenTrie::kRoot; at != node; ++depth) {
    const auto children = trie.Children(trie.node(at));
    const auto child = std::partition_point(children.begin(), children.end(), [&](const auto& it) {
      return it.byte < static_cast<uint8_t>(text[depth]);
    });
    at = trie.node(at).first_child + static_cast<uint32_t>(child - children.begin());
  }
  return depth;
}

}  // namespace retort::grammar
