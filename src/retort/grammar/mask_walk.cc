#include "retort/grammar/mask_walk.h"

#include <algorithm>
#include <tuple>

namespace retort::grammar {
namespace {

// Below this many tokens a subtree is walked rather than looked up.
constexpr uint32_t kEntryTokensMin = 48;
// A state is worth a lookup if at least so many bytes may come next; in a string fewer will do, as
// few tokens end it.
constexpr int kDenseBytesMin = 40;
constexpr int kDenseStringBytesMin = 12;
constexpr int kCorrectionsMax = 6000;  // nodes of the trie
constexpr size_t kWalkedEachMax = 8;   // lexer states

const TokenTrie::Node* FindChild(std::span<const TokenTrie::Node> children, uint8_t byte) {
  const auto it = std::lower_bound(
      children.begin(), children.end(), byte,
      [](const TokenTrie::Node& node, uint8_t value) { return node.byte < value; });
  return it == children.end() ? nullptr : &*it;
}

// Those side by side that are in the same state at once.
template <typename Visit>
void ForEachAlike(std::span<const Configuration> from, Visit visit) {
  for (size_t i = 0; i < from.size();) {
    size_t end = i + 1;
    while (end < from.size() && from[end].lex == from[i].lex) ++end;
    visit(from[i].lex, from.subspan(i, end - i));
    i = end;
  }
}

bool IsAnyUncertain(std::span<const Configuration> from) {
  return std::any_of(from.begin(), from.end(),
                     [](const Configuration& c) { return c.lex == kUncertainState; });
}

// Brings those of a state side by side, each once.
void Tidy(std::vector<Configuration>* list) {
  const auto key = [](const Configuration& c) {
    return std::tuple(c.lex, c.position, reinterpret_cast<uintptr_t>(c.parent),
                      reinterpret_cast<uintptr_t>(c.seen));
  };
  std::sort(list->begin(), list->end(),
            [&](const Configuration& a, const Configuration& b) { return key(a) < key(b); });
  list->erase(std::unique(list->begin(), list->end()), list->end());
}

}  // namespace

MaskWalk::MaskWalk(Machine* machine, const Vocabulary& vocabulary, MaskMemo* memo)
    : machine_(machine),
      vocabulary_(vocabulary),
      lexer_(machine->lexer()),
      entries_(&lexer_, vocabulary, memo) {}

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
  checked_ids_.clear();
  machine_->ForgetReach();
  std::vector<Configuration> list = from.list;
  Tidy(&list);
  Walk(vocabulary_.trie(), TokenTrie::kRoot, list);
  depends_on_tail_ = checked_ || machine_->reach() < tail.size();
}

void MaskWalk::Walk(const TokenTrie& trie, uint32_t node, Set from) {
  if (from.empty()) return;
  if (IsAnyUncertain(from)) return CheckOneByOne(trie.Below(trie.node(node)));
  if (from.front().lex == from.back().lex) return WalkAlike(trie, node, from.front().lex, from);
  if (!IsLarge(trie, node)) return WalkChildren(trie, node, from, false);
  size_t num_states = 0;
  bool is_dense = false;
  ForEachAlike(from, [&](LexState lex, Set) {
    ++num_states;
    is_dense = is_dense || IsDense(lex);
  });
  if (is_dense && num_states <= kWalkedEachMax) return WalkEach(node, from);
  // Languages of keys that differ in a few are mostly one after the first character.
  WalkChildren(trie, node, from, is_dense);
}

// All at once, child by child; from there each on its own, if `then_each` and it is worth it.
void MaskWalk::WalkChildren(const TokenTrie& trie, uint32_t node, Set from, bool then_each) {
  Configurations& to = NextLevel();
  const TokenTrie::Node& at = trie.node(node);
  lexer_.pool().Spend(at.num_children * from.size());
  for (uint32_t i = 0; i < at.num_children; ++i) {
    const uint32_t index = at.first_child + i;
    const TokenTrie::Node& child = trie.node(index);
    to.clear();
    text_ += static_cast<char>(child.byte);
    ForEachAlike(from, [&](LexState lex, Set alike) {
      const LexState next = lexer_.Step(lex, child.byte);
      if (next != kDeadState) Advance(next, alike, &to);
    });
    EndStep(&to);
    if (!to.dead()) {
      for (const int32_t id : trie.Own(child)) Set_(id);
      if (child.num_children > 0) {
        const bool each = then_each && IsLarge(trie, index) && !IsAnyUncertain(to.list);
        if (each) {
          WalkEach(index, to.list);
        } else {
          Walk(trie, index, to.list);
        }
      }
    }
    text_.pop_back();
  }
  --level_;
}

// Independent alternatives: a token is allowed if one of them allows it.
void MaskWalk::WalkEach(uint32_t node, Set from) {
  // WalkAlike may clear what it set, and must not clear what another did.
  const TokenTrie& trie = vocabulary_.trie();
  const std::span<const int32_t> below = trie.Below(trie.node(node));
  if (below.size() < bits_.size() / 4) {
    std::vector<int32_t> allowed;
    ForEachAlike(from, [&](LexState lex, Set alike) {
      lexer_.pool().Spend(below.size() / 4);
      WalkAlike(trie, node, lex, alike);
      for (const int32_t id : below) {
        if ((bits_[id >> 5] >> (id & 31) & 1) == 0) continue;
        allowed.push_back(id);
        Clear(id);
      }
    });
    for (const int32_t id : allowed) Set_(id);
    return;
  }
  const std::span<uint32_t> all = bits_;
  std::vector<uint32_t> own(all.size());
  ForEachAlike(from, [&](LexState lex, Set alike) {
    lexer_.pool().Spend(own.size() / 8);
    std::fill(own.begin(), own.end(), 0);
    bits_ = own;
    WalkAlike(trie, node, lex, alike);
    for (size_t i = 0; i < own.size(); ++i) all[i] |= own[i];
  });
  bits_ = all;
}

void MaskWalk::Advance(LexState lex, Set from, Configurations* to) {
  // As Machine::Step does, with text that may be unknown.
  if (!lexer_.Ranges(lex).empty()) {
    lexer_.pool().Spend(from.size() / 4);
    for (Configuration moved : from) {
      moved.lex = lex;
      to->list.push_back(moved);
    }
  }
  const size_t num_labels = lexer_.Labels(lex).size();
  for (size_t i = 0; i < num_labels; ++i) End(from, lexer_.Labels(lex)[i], to);
}

void MaskWalk::End(Set from, uint32_t label, Configurations* to) {
  lexer_.pool().Spend(from.size() / 4);
  remembering_.clear();
  for (const Configuration& at : from) {
    auto& closings = machine_->Remembers(at.position, label) ? remembering_ : closings_;
    closings.push_back({at.position, label, at.parent, at.seen});
  }
  if (remembering_.empty()) return;
  machine_->Close(remembering_, text_known_ ? std::optional<std::string_view>(text_) : std::nullopt,
                  to);
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
  if (!closings_.empty()) {
    lexer_.pool().Spend(closings_.size() / 4);
    auto it = closed_.find(closings_);
    if (it == closed_.end()) {
      Configurations after;
      machine_->Close(closings_, std::nullopt, &after);
      it = closed_.emplace(closings_, std::move(after)).first;
    }
    closings_.clear();
    to->complete = to->complete || it->second.complete;
    to->list.insert(to->list.end(), it->second.list.begin(), it->second.list.end());
  }
  lexer_.pool().Spend(2 + to->list.size());
  if (to->list.size() > 1) Tidy(&to->list);
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
  return bytes >= (lexer_.StringRest(state) ? kDenseStringBytesMin : kDenseBytesMin);
}

void MaskWalk::WalkAlike(const TokenTrie& trie, uint32_t node, LexState lex, Set from) {
  const TokenTrie::Node& at = trie.node(node);
  if (IsLarge(trie, node) && IsDense(lex)) {
    if (node == TokenTrie::kRoot) lex = entries_.WithoutDistantBounds(lex);
    // Where nothing can follow the token, what is left of tokens in which it ends is of no
    // interest.
    const bool exits = std::any_of(
        from.begin(), from.end(), [&](const Configuration& c) { return machine_->MayContinue(c); });
    const LexState loop = Loop(lex);
    if (loop != lex) {
      WalkEntry(from, *entries_.Find(node, loop, exits));
      int budget = kCorrectionsMax;
      if (Correct(node, lex, loop, from, &budget)) return;
      for (const int32_t id : trie.Below(at)) Clear(id);
    }
    WalkEntry(from, *entries_.Find(node, lex, exits));
    return;
  }
  Configurations& to = NextLevel();
  const auto children = trie.Children(at);
  // Ranges may move as states are made: one at a time, by index.
  const size_t num_ranges = lexer_.Ranges(lex).size();
  for (size_t r = 0; r < num_ranges; ++r) {
    const ByteRange range = lexer_.Ranges(lex)[r];
    lexer_.pool().Spend(4);
    for (const TokenTrie::Node* child = FindChild(children, range.first);
         child != nullptr && child != children.data() + children.size() &&
         child->byte <= range.last;
         ++child) {
      lexer_.pool().Spend(2);
      for (const int32_t id : trie.Own(*child)) Set_(id);
      if (child->num_children == 0) continue;
      text_ += static_cast<char>(child->byte);
      const auto index = static_cast<uint32_t>(at.first_child + (child - children.data()));
      if (!lexer_.Accepts(range.target)) {
        WalkAlike(trie, index, range.target, from);
      } else {
        to.clear();
        Advance(range.target, from, &to);
        EndStep(&to);
        Walk(trie, index, to.list);
      }
      text_.pop_back();
    }
  }
  --level_;
}

void MaskWalk::WalkEntry(Set from, const MaskEntry& entry) {
  lexer_.pool().Spend(entry.bits.size() / 16 + entry.ids.size() / 4 + entry.exits.size());
  for (size_t i = 0; i < entry.bits.size(); ++i) bits_[i] |= entry.bits[i];
  for (const int32_t id : entry.ids) Set_(id);
  const bool known = text_known_;
  text_known_ = false;
  for (const MaskEntry::Exit& exit : entry.exits) {
    Configurations& to = NextLevel();
    to.clear();
    End(from, exit.label, &to);
    EndStep(&to);
    Walk(*exit.rest, TokenTrie::kRoot, to.list);
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

bool MaskWalk::Correct(uint32_t node, LexState a, LexState b, Set from, int* budget) {
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
        if (!CorrectChild(index, x, y, from, budget)) return false;
      }
    }
    at = last + 1;
    if (i < num_a && lexer_.Ranges(a)[i].last < at) ++i;
    if (j < num_b && lexer_.Ranges(b)[j].last < at) ++j;
  }
  return true;
}

// Of the tokens that end at or go on through a node; its byte leads to `a` or `b`, which differ.
bool MaskWalk::CorrectChild(uint32_t node, LexState a, LexState b, Set from, int* budget) {
  const TokenTrie& trie = vocabulary_.trie();
  const TokenTrie::Node& at = trie.node(node);
  lexer_.pool().Spend(2);
  if (a == kDeadState || b == kDeadState || lexer_.Accepts(a) || lexer_.Accepts(b)) {
    for (const int32_t id : trie.Subtree(at)) Clear(id);
    if (a == kDeadState) return true;
    for (const int32_t id : trie.Own(at)) Set_(id);
    if (at.num_children == 0) return true;
    text_ += static_cast<char>(at.byte);
    Configurations& to = NextLevel();
    to.clear();
    Advance(a, from, &to);
    EndStep(&to);
    Walk(trie, node, to.list);
    --level_;
    text_.pop_back();
    return true;
  }
  if (at.num_children == 0) return true;
  text_ += static_cast<char>(at.byte);
  const bool done = Correct(node, a, b, from, budget);
  text_.pop_back();
  return done;
}

// For tokens of which some part depends on what was read in the same token. Each is read from where
// the walk began, in all ways, so once is enough however many of them lead here.
void MaskWalk::CheckOneByOne(std::span<const int32_t> ids) {
  checked_ = true;
  Configurations from;
  Configurations to;
  for (const int32_t id : ids) {
    const auto [known, is_new] = checked_ids_.try_emplace(id, false);
    if (!is_new) {
      if (known->second) Set_(id);
      continue;
    }
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
    known->second = alive;
    if (alive) Set_(id);
  }
}

}  // namespace retort::grammar
