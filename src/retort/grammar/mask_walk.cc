#include "retort/grammar/mask_walk.h"

#include <algorithm>
#include <bit>

namespace retort::grammar {
namespace {

// Below this many tokens a subtree is walked rather than looked up.
constexpr uint32_t kEntryTokensMin = 48;
// A state is worth a lookup if at least so many bytes may come next.
constexpr int kDenseBytesMin = 40;
constexpr int kCorrectionsMax = 6000;  // nodes of the trie
constexpr size_t kSparseIdsMax = 2048;

const TokenTrie::Node* FindChild(std::span<const TokenTrie::Node> children, uint8_t byte) {
  const auto it = std::lower_bound(
      children.begin(), children.end(), byte,
      [](const TokenTrie::Node& node, uint8_t value) { return node.byte < value; });
  return it == children.end() ? nullptr : &*it;
}

// Reads on from `state` along the tokens below `root`, `depth` bytes from the trie's own: calls
// visit(child, state after its byte, its depth), which says whether to go on below it.
template <typename Visit>
void ReadTokens(const TokenTrie& trie, Lexer& lexer, uint32_t root, LexState state, uint32_t depth,
                const Visit& visit) {
  struct Work {
    uint32_t node;
    LexState state;
    uint32_t depth;
  };
  std::vector<Work> stack{{root, state, depth}};
  while (!stack.empty()) {
    const Work work = stack.back();
    stack.pop_back();
    const TokenTrie::Node& at = trie.node(work.node);
    lexer.pool().Spend(at.num_children);
    for (uint32_t i = 0; i < at.num_children; ++i) {
      const uint32_t index = at.first_child + i;
      const LexState next = lexer.Step(work.state, trie.node(index).byte);
      if (visit(trie.node(index), next, work.depth + 1)) {
        stack.push_back({index, next, work.depth + 1});
      }
    }
  }
}

}  // namespace

MaskWalk::MaskWalk(Machine* machine, const Vocabulary& vocabulary, MaskMemo* memo)
    : machine_(machine), vocabulary_(vocabulary), memo_(memo), lexer_(machine->lexer()) {}

void MaskWalk::Run(const Configurations& from, std::string_view tail, std::span<uint32_t> bits) {
  start_ = &from;
  tail_ = tail;
  bits_ = bits;
  text_ = tail;
  text_known_ = true;
  level_ = 0;
  closings_.clear();
  closed_.clear();
  checked_ = false;
  machine_->ForgetReach();
  Walk(vocabulary_.trie(), TokenTrie::kRoot, from.list, 0);
  depends_on_tail_ = checked_ || machine_->reach() < tail.size();
}

void MaskWalk::Walk(const TokenTrie& trie, uint32_t node, Set from, int depth) {
  if (from.size() == 1) {
    WalkOne(trie, node, from[0], depth);
    return;
  }
  if (from.empty()) return;
  for (const Configuration& configuration : from) {
    if (configuration.lex == kUncertainState) {
      CheckOneByOne(trie.Below(trie.node(node)));
      return;
    }
  }
  // Independent alternatives: a token is allowed if one of them allows it.
  if (IsLarge(trie, node) && std::any_of(from.begin(), from.end(),
                                         [&](const Configuration& c) { return IsDense(c.lex); })) {
    // Each into bits of its own: WalkOne may clear what it set.
    const std::span<uint32_t> all = bits_;
    std::vector<uint32_t> own(all.size());
    for (const Configuration& configuration : from) {
      lexer_.pool().Spend(own.size() / 8);
      std::fill(own.begin(), own.end(), 0);
      bits_ = own;
      WalkOne(trie, node, configuration, depth);
      for (size_t i = 0; i < own.size(); ++i) all[i] |= own[i];
    }
    bits_ = all;
    return;
  }
  if (level_ == levels_.size()) levels_.push_back(std::make_unique<Configurations>());
  Configurations& to = *levels_[level_++];
  const TokenTrie::Node& at = trie.node(node);
  lexer_.pool().Spend(at.num_children * from.size());
  for (uint32_t i = 0; i < at.num_children; ++i) {
    const uint32_t index = at.first_child + i;
    const TokenTrie::Node& child = trie.node(index);
    to.clear();
    text_ += static_cast<char>(child.byte);
    for (const Configuration& configuration : from) {
      Configuration moved = configuration;
      moved.lex = lexer_.Step(configuration.lex, child.byte);
      if (moved.lex != kDeadState) Advance(moved, &to);
    }
    EndStep(&to);
    if (!to.dead()) {
      for (const int32_t id : trie.Own(child)) Set_(id);
      if (child.num_children > 0) Walk(trie, index, to.list, depth + 1);
    }
    text_.pop_back();
  }
  --level_;
}

void MaskWalk::Advance(const Configuration& moved, Configurations* to) {
  // As Machine::Step does, with text that may be unknown.
  if (!lexer_.Ranges(moved.lex).empty()) {
    auto& list = to->list;
    if (std::find(list.begin(), list.end(), moved) == list.end()) list.push_back(moved);
  }
  const size_t num_labels = lexer_.Labels(moved.lex).size();
  const bool in_rule = num_labels > 0 && machine_->IsInRule(moved);
  for (size_t i = 0; i < num_labels; ++i) {
    if (in_rule) {
      closings_.push_back({moved.position, lexer_.Labels(moved.lex)[i], moved.parent, moved.seen});
      continue;
    }
    machine_->Close(moved, lexer_.Labels(moved.lex)[i],
                    text_known_ ? std::optional<std::string_view>(text_) : std::nullopt, to);
  }
}

size_t MaskWalk::ClosingsHash::operator()(const std::vector<Machine::Closing>& closings) const {
  uint64_t hash = closings.size();
  for (const Machine::Closing& closing : closings) {
    for (const uint64_t word : {uint64_t{closing.position} << 32 | closing.label,
                                uint64_t{reinterpret_cast<uintptr_t>(closing.parent)},
                                uint64_t{reinterpret_cast<uintptr_t>(closing.seen)}}) {
      hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
      hash ^= hash >> 29;
    }
  }
  return hash;
}

void MaskWalk::EndStep(Configurations* to) {
  if (closings_.empty()) return;
  auto it = closed_.find(closings_);
  if (it == closed_.end()) {
    Configurations after;
    machine_->CloseAll(closings_, &after);
    it = closed_.emplace(closings_, std::move(after)).first;
  }
  closings_.clear();
  lexer_.pool().Spend(2 + it->second.list.size() * (1 + to->list.size()) / 8);
  to->complete = to->complete || it->second.complete;
  if (to->list.empty()) {
    to->list = it->second.list;
    return;
  }
  for (const Configuration& configuration : it->second.list) {
    auto& list = to->list;
    if (std::find(list.begin(), list.end(), configuration) == list.end()) {
      list.push_back(configuration);
    }
  }
}

// Whether looking up what a lexer state allows below the node is worth it.
bool MaskWalk::IsLarge(const TokenTrie& trie, uint32_t node) const {
  const TokenTrie::Node& at = trie.node(node);
  return &trie == &vocabulary_.trie() && at.tokens_end - at.tokens_begin >= kEntryTokensMin;
}

bool MaskWalk::IsDense(LexState state) {
  if (state == kUncertainState) return false;
  int bytes = 0;
  for (const ByteRange& range : lexer_.Ranges(state)) bytes += range.last - range.first + 1;
  return bytes >= kDenseBytesMin;
}

void MaskWalk::WalkOne(const TokenTrie& trie, uint32_t node, const Configuration& given,
                       int depth) {
  const TokenTrie::Node& at = trie.node(node);
  Configuration from = given;
  if (from.lex == kUncertainState) {
    CheckOneByOne(trie.Below(at));
    return;
  }
  if (IsLarge(trie, node) && IsDense(from.lex)) {
    if (node == TokenTrie::kRoot) from.lex = WithoutDistantBounds(from.lex);
    // Where nothing can follow the token, what is left of tokens in which it ends is of no
    // interest.
    const bool exits = machine_->MayContinue(from);
    const LexState loop = Loop(from.lex);
    if (loop != from.lex) {
      Configuration looped = from;
      looped.lex = loop;
      WalkEntry(looped, *EntryFor(node, loop, exits), depth);
      int budget = kCorrectionsMax;
      if (Correct(node, from.lex, loop, from, depth, &budget)) return;
      for (const int32_t id : trie.Below(at)) Clear(id);
    }
    WalkEntry(from, *EntryFor(node, from.lex, exits), depth);
    return;
  }
  if (level_ == levels_.size()) levels_.push_back(std::make_unique<Configurations>());
  Configurations& to = *levels_[level_++];
  const auto children = trie.Children(at);
  // Ranges may move as states are made: one at a time, by index.
  const size_t num_ranges = lexer_.Ranges(from.lex).size();
  for (size_t r = 0; r < num_ranges; ++r) {
    const ByteRange range = lexer_.Ranges(from.lex)[r];
    lexer_.pool().Spend(4);
    for (const TokenTrie::Node* child = FindChild(children, range.first);
         child != nullptr && child != children.data() + children.size() &&
         child->byte <= range.last;
         ++child) {
      lexer_.pool().Spend(2);
      for (const int32_t id : trie.Own(*child)) Set_(id);
      if (child->num_children == 0) continue;
      Configuration moved = from;
      moved.lex = range.target;
      text_ += static_cast<char>(child->byte);
      const auto index = static_cast<uint32_t>(at.first_child + (child - children.data()));
      if (!lexer_.Accepts(moved.lex)) {
        WalkOne(trie, index, moved, depth + 1);
      } else {
        to.clear();
        Advance(moved, &to);
        EndStep(&to);
        Walk(trie, index, to.list, depth + 1);
      }
      text_.pop_back();
    }
  }
  --level_;
}

void MaskWalk::WalkEntry(const Configuration& from, const MaskEntry& entry, int depth) {
  lexer_.pool().Spend(entry.bits.size() / 16 + entry.ids.size() / 4 + entry.exits.size());
  for (size_t i = 0; i < entry.bits.size(); ++i) bits_[i] |= entry.bits[i];
  for (const int32_t id : entry.ids) Set_(id);
  const bool known = text_known_;
  text_known_ = false;
  for (const MaskEntry::Exit& exit : entry.exits) {
    if (level_ == levels_.size()) levels_.push_back(std::make_unique<Configurations>());
    Configurations& to = *levels_[level_++];
    to.clear();
    machine_->Close(from, exit.label, std::nullopt, &to);
    Walk(exit.rest, TokenTrie::kRoot, to.list, depth + 1);
    --level_;
  }
  text_known_ = known;
}

LexState MaskWalk::Loop(LexState state) {
  ByteRange widest{};
  int width = -1;
  for (const ByteRange& range : lexer_.Ranges(state)) {
    if (range.last - range.first > width && range.first < 0x80) {
      width = range.last - range.first;
      widest = range;
    }
  }
  if (width < 0 || widest.target == state) return state;
  const LexState next = lexer_.Step(widest.target, widest.first);
  return next == widest.target && lexer_.Step(next, widest.last) == next ? next : state;
}

bool MaskWalk::Correct(uint32_t node, LexState a, LexState b, const Configuration& from, int depth,
                       int* budget) {
  const TokenTrie& trie = vocabulary_.trie();
  const auto children = trie.Children(trie.node(node));
  const size_t num_a = lexer_.Ranges(a).size();
  const size_t num_b = lexer_.Ranges(b).size();
  lexer_.pool().Spend(num_a + num_b);
  *budget -= 2;
  // Ranges may move as states are made: by index.
  size_t i = 0;
  size_t j = 0;
  // Where the ones that `at` is in or before lead from there, up to `last`.
  const auto target_at = [&](LexState state, size_t index, size_t size, uint32_t at,
                             uint32_t* last) -> LexState {
    if (index == size) return kDeadState;
    const ByteRange range = lexer_.Ranges(state)[index];
    *last = std::min<uint32_t>(*last, at < range.first ? range.first - 1u : range.last);
    return at < range.first ? kDeadState : range.target;
  };
  for (uint32_t at = 0; at <= 0xFF;) {
    uint32_t last = 0xFF;
    const LexState x = target_at(a, i, num_a, at, &last);
    const LexState y = target_at(b, j, num_b, at, &last);
    if (x != y) {
      for (const auto* child = FindChild(children, static_cast<uint8_t>(at));
           child != nullptr && child != children.data() + children.size() && child->byte <= last;
           ++child) {
        if (--*budget < 0) return false;
        const auto index =
            static_cast<uint32_t>(trie.node(node).first_child + (child - children.data()));
        if (!CorrectChild(index, x, y, from, depth, budget)) return false;
      }
    }
    at = last + 1;
    if (i < num_a && lexer_.Ranges(a)[i].last < at) ++i;
    if (j < num_b && lexer_.Ranges(b)[j].last < at) ++j;
  }
  return true;
}

// Of the tokens that end at or go on through a node; its byte leads to `a` or `b`, which differ.
bool MaskWalk::CorrectChild(uint32_t node, LexState a, LexState b, const Configuration& from,
                            int depth, int* budget) {
  const TokenTrie& trie = vocabulary_.trie();
  const TokenTrie::Node& at = trie.node(node);
  lexer_.pool().Spend(2);
  if (a == kDeadState || b == kDeadState || lexer_.Accepts(a) || lexer_.Accepts(b)) {
    for (const int32_t id : trie.Subtree(at)) Clear(id);
    if (a == kDeadState) return true;
    for (const int32_t id : trie.Own(at)) Set_(id);
    if (at.num_children == 0) return true;
    Configuration moved = from;
    moved.lex = a;
    text_ += static_cast<char>(at.byte);
    if (level_ == levels_.size()) levels_.push_back(std::make_unique<Configurations>());
    Configurations& to = *levels_[level_++];
    to.clear();
    Advance(moved, &to);
    EndStep(&to);
    Walk(trie, node, to.list, depth + 1);
    --level_;
    text_.pop_back();
    return true;
  }
  if (at.num_children == 0) return true;
  text_ += static_cast<char>(at.byte);
  const bool done = Correct(node, a, b, from, depth + 1, budget);
  text_.pop_back();
  return done;
}

std::shared_ptr<const MaskEntry> MaskWalk::EntryFor(uint32_t node, LexState state, bool exits) {
  const uint32_t node_key = node << 1 | (exits ? 1 : 0);
  const uint64_t own_key = uint64_t{node_key} << 32 | state;
  const auto it = memo_->entries.find(own_key);
  if (it != memo_->entries.end()) return it->second;
  const Vocabulary::MaskKey key{lexer_.HashOf(state), node_key};
  auto entry = vocabulary_.FindMask(key);
  if (entry == nullptr) {
    entry = node == TokenTrie::kRoot ? EntryByLength(state, exits) : nullptr;
    if (entry == nullptr && node == TokenTrie::kRoot) entry = EntryBySafety(state, exits);
    if (entry == nullptr) entry = ComputeEntry(node, state, exits);
    vocabulary_.KeepMask(key, entry);
  }
  memo_->entries.emplace(own_key, entry);
  return entry;
}

// Bounds on a string's length that no token can reach make no difference to a mask.
LexState MaskWalk::WithoutDistantBounds(LexState state) {
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

// The entry of a string of which only the length matters: from counts made once.
std::shared_ptr<const MaskEntry> MaskWalk::EntryByLength(LexState state, bool with_exits) {
  const auto rest = lexer_.StringRest(state);
  const auto lengths = rest ? lexer_.pool().LengthsOf(*rest) : std::nullopt;
  if (!lengths) return nullptr;
  const Vocabulary::StringProfile& profile = vocabulary_.string_profile();
  auto entry = std::make_shared<MaskEntry>();
  entry->bits = profile.within[std::min(lengths->max, profile.count_max)];
  std::vector<std::pair<std::string_view, int32_t>> rests;
  for (const auto& end : profile.ends) {
    if (end.count < lengths->min || end.count > lengths->max) continue;
    if (end.rest.empty()) {
      entry->bits[end.id >> 5] |= 1u << (end.id & 31);
    } else if (with_exits) {
      rests.emplace_back(end.rest, end.id);
    }
  }
  if (!rests.empty()) entry->exits.push_back({0, TokenTrie(std::move(rests))});
  return entry;
}

// The entry of a string that most characters leave alive, such as one that must not contain a word:
// that of any string, but for what a walk finds that goes only where the string may die or end.
std::shared_ptr<const MaskEntry> MaskWalk::EntryBySafety(LexState state, bool with_exits) {
  constexpr uint32_t kSafeMin = 2;
  constexpr uint64_t kQuoteGroup = uint64_t{1} << ByteGroup('"');
  if (!lexer_.StringRest(state) || lexer_.SafeLength(state, kSafeMin) < kSafeMin) return nullptr;
  const TokenTrie& trie = vocabulary_.trie();
  auto entry = std::make_shared<MaskEntry>();
  entry->bits = vocabulary_.string_profile().within.back();
  auto& bits = entry->bits;
  ExitLists exits;
  ReadTokens(trie, lexer_, TokenTrie::kRoot, state, 0,
             [&](const TokenTrie::Node& child, LexState next, uint32_t depth) {
               if (next == kDeadState) {
                 for (const int32_t id : trie.Subtree(child)) bits[id >> 5] &= ~(1u << (id & 31));
                 return false;
               }
               if (lexer_.Accepts(next)) {  // the closing quote: nothing of the string is left
                 for (const int32_t id : trie.Own(child)) bits[id >> 5] |= 1u << (id & 31);
                 if (with_exits && child.num_children > 0) AddExits(child, next, depth, &exits);
                 return false;
               }
               return child.num_children > 0 &&
                      ((child.groups_below & kQuoteGroup) != 0 ||
                       lexer_.SafeLength(next, child.height) < child.height);
             });
  for (auto& [label, rests] : exits) {
    entry->exits.push_back({label, TokenTrie(std::move(rests))});
  }
  return entry;
}

// What is left, beyond the lexeme's end, of the tokens below `node`, `depth` bytes from the root.
void MaskWalk::AddExits(const TokenTrie::Node& node, LexState state, uint32_t depth,
                        ExitLists* exits) {
  const auto below = vocabulary_.trie().Below(node);
  const size_t num_labels = lexer_.Labels(state).size();
  for (size_t i = 0; i < num_labels; ++i) {
    const uint32_t label = lexer_.Labels(state)[i];
    auto it = std::find_if(exits->begin(), exits->end(),
                           [&](const auto& exit) { return exit.first == label; });
    if (it == exits->end()) it = exits->insert(exits->end(), {label, {}});
    for (const int32_t id : below) {
      it->second.emplace_back(vocabulary_.Text(id).substr(depth), id);
    }
  }
}

std::shared_ptr<const MaskEntry> MaskWalk::ComputeEntry(uint32_t node, LexState state,
                                                        bool with_exits) {
  const TokenTrie& trie = vocabulary_.trie();
  auto entry = std::make_shared<MaskEntry>();
  std::vector<uint32_t> bits(vocabulary_.num_mask_words());
  size_t num_ids = 0;
  const auto allow = [&](std::span<const int32_t> ids) {
    for (const int32_t id : ids) bits[id >> 5] |= 1u << (id & 31);
    num_ids += ids.size();
  };
  ExitLists exits;
  ReadTokens(trie, lexer_, node, state, DepthOf(node),
             [&](const TokenTrie::Node& child, LexState next, uint32_t depth) {
               if (next == kDeadState) return false;
               if (child.num_children == 0) {
                 allow(trie.Own(child));
                 return false;
               }
               const bool accepts = lexer_.Accepts(next);
               if (!accepts && (child.groups_below & ~lexer_.LoopGroups(next)) == 0) {
                 allow(trie.Subtree(child));  // all of it stays in this state
                 return false;
               }
               allow(trie.Own(child));
               if (with_exits && accepts) AddExits(child, next, depth, &exits);
               return true;
             });
  if (num_ids > kSparseIdsMax) {
    entry->bits = std::move(bits);
  } else {
    for (size_t i = 0; i < bits.size(); ++i) {
      for (uint32_t word = bits[i]; word != 0; word &= word - 1) {
        entry->ids.push_back(static_cast<int32_t>(i * 32 + std::countr_zero(word)));
      }
    }
  }
  for (auto& [label, rests] : exits) {
    entry->exits.push_back({label, TokenTrie(std::move(rests))});
  }
  return entry;
}

// Bytes between the root and a node: every token below begins with the same path, so any will do.
uint32_t MaskWalk::DepthOf(uint32_t node) const {
  const TokenTrie& trie = vocabulary_.trie();
  if (node == TokenTrie::kRoot) return 0;
  const std::string_view text = vocabulary_.Text(trie.Below(trie.node(node)).front());
  uint32_t depth = 0;
  for (uint32_t at = TokenTrie::kRoot; at != node; ++depth) {
    const auto children = trie.Children(trie.node(at));
    const auto* child = FindChild(children, static_cast<uint8_t>(text[depth]));
    at = static_cast<uint32_t>(trie.node(at).first_child + (child - children.data()));
  }
  return depth;
}

// For tokens of which some part depends on what was read in the same token.
void MaskWalk::CheckOneByOne(std::span<const int32_t> ids) {
  checked_ = true;
  Configurations from;
  Configurations to;
  for (const int32_t id : ids) {
    from = *start_;
    std::string text(tail_);
    bool alive = true;
    for (const char c : vocabulary_.Text(id)) {
      text += c;
      lexer_.pool().Spend(4);
      machine_->Step(from, static_cast<uint8_t>(c), text, &to);
      std::swap(from, to);
      if (from.dead()) {
        alive = false;
        break;
      }
    }
    if (alive) Set_(id);
  }
}

}  // namespace retort::grammar
