#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "retort/grammar/machine.h"
#include "retort/grammar/mask_entries.h"
#include "retort/grammar/vocabulary.h"

namespace retort::grammar {

// Computes the mask of one state: which tokens lead to a state that is not dead. A walk over the
// vocabulary's trie in step with the machine, except where a lexer state allows many tokens: there
// the answer for the lexeme itself is looked up (MaskEntry), and only what is left of tokens in
// which the lexeme ends is walked. Exact.
class MaskWalk {
 public:
  MaskWalk(Machine* machine, const Vocabulary& vocabulary, MaskMemo* memo);

  // `tail`: the text back to the beginning of every open token, or empty if no token needs it.
  // Sets bits; `bits` has vocabulary.num_mask_words() words, zero on entry.
  void Run(const Configurations& from, std::string_view tail, std::span<uint32_t> bits);
  // Whether the last mask depends on the tail, and not on the configurations alone.
  bool depends_on_tail() const { return depends_on_tail_; }

 private:
  using Set = std::span<const Configuration>;

  // The caller's until it counts `level_` down; to be cleared.
  Configurations& NextLevel() {
    if (level_ == levels_.size()) levels_.push_back(std::make_unique<Configurations>());
    return *levels_[level_++];
  }
  // Those of a lexer state are side by side in `from`.
  void Walk(const TokenTrie& trie, uint32_t node, Set from);
  void WalkChildren(const TokenTrie& trie, uint32_t node, Set from, bool then_each);
  void WalkEach(uint32_t node, Set from);
  // Of those that are in the same state, `lex`, whatever their own says: many alternatives often
  // read the same token, and differ only in what comes after it.
  void WalkAlike(const TokenTrie& trie, uint32_t node, LexState lex, Set from);
  void WalkEntry(Set from, const MaskEntry& entry);
  // As the machine once `from` came to `lex`, with everything their token's end leads to. Ends on
  // whose text nothing depends are put aside until EndStep.
  void Advance(LexState lex, Set from, Configurations* to);
  void End(Set from, uint32_t label, Configurations* to);
  void EndStep(Configurations* to);
  // A state that nearly every byte leads to and keeps, or `state` itself.
  LexState Loop(LexState state);
  // Corrects what was set for `b` where `a` differs; false if they differ nearly everywhere.
  bool Correct(uint32_t node, LexState a, LexState b, Set from, int* budget);
  bool CorrectChild(uint32_t node, LexState a, LexState b, Set from, int* budget);
  bool IsLarge(const TokenTrie& trie, uint32_t node) const;
  bool IsDense(LexState state);
  void CheckOneByOne(std::span<const int32_t> ids);
  void Set_(int32_t id) { bits_[id >> 5] |= 1u << (id & 31); }
  void Clear(int32_t id) { bits_[id >> 5] &= ~(1u << (id & 31)); }

  Machine* machine_;
  const Vocabulary& vocabulary_;
  Lexer& lexer_;
  MaskEntries entries_;
  const Configurations* start_ = nullptr;
  std::string_view tail_;
  std::span<uint32_t> bits_;
  std::string text_;  // tail, then the path walked
  bool text_known_ = true;
  bool checked_ = false;
  std::unordered_map<int32_t, bool> checked_ids_;  // of this walk: whether they are allowed
  bool depends_on_tail_ = false;
  std::vector<Machine::Closing> closings_;     // until EndStep
  std::vector<Machine::Closing> remembering_;  // of one End
  // What ends of tokens lead to, of this walk: many tokens end the same ones.
  struct ClosingsHash {
    size_t operator()(const std::vector<Machine::Closing>& closings) const;
  };
  std::unordered_map<std::vector<Machine::Closing>, Configurations, ClosingsHash> closed_;
  std::vector<std::unique_ptr<Configurations>> levels_;
  size_t level_ = 0;
};

}  // namespace retort::grammar
