#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "retort/grammar/machine.h"
#include "retort/grammar/vocabulary.h"

namespace retort::grammar {

// What one machine knows of the vocabulary's masks: entries by its own lexer states, so that a
// repeated state needs no shared lock.
struct MaskMemo {
  std::unordered_map<uint64_t, std::shared_ptr<const MaskEntry>> entries;  // by node and state
  uint64_t entry_bytes = 0;
  // Whole masks by stack and state.
  struct Whole {
    std::vector<Configuration> key;  // where the stack is interned
    std::string structure;           // elsewhere, and not empty then
    std::vector<uint32_t> bits;      // or, if few tokens are allowed, their ids
    std::vector<int32_t> ids;
    bool is_sparse = false;
  };
  std::unordered_multimap<uint64_t, Whole> whole;
  size_t whole_bytes = 0;
};

// Finds the vocabulary's MaskEntry of a lexer state, or makes it.
class MaskEntries {
 public:
  MaskEntries(Lexer* lexer, const Vocabulary& vocabulary, MaskMemo* memo)
      : lexer_(*lexer), vocabulary_(vocabulary), memo_(memo) {}

  // Below `node` of the vocabulary's trie, which `state` is the state at. Exits are left out unless
  // `exits`.
  std::shared_ptr<const MaskEntry> Find(uint32_t node, LexState state, bool exits);
  // Before any token: a state of which every token leads to the same answer as of this one.
  LexState WithoutDistantBounds(LexState state);

 private:
  // Tokens by their place in the trie's order.
  struct Tokens {
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  // Tokens in which the lexeme ends `depth` bytes from their beginning, beyond which they go on.
  struct Ending {
    uint32_t label = 0;
    uint32_t depth = 0;
    Tokens tokens;
  };
  struct Found;

  std::shared_ptr<const MaskEntry> Make(uint32_t node, LexState state, bool with_exits);
  std::shared_ptr<const MaskEntry> OfLengths(RegexPool::Lengths lengths, bool with_exits);
  std::shared_ptr<const MaskEntry> OfPattern(LexState state, Regex pattern, uint32_t max,
                                             bool with_exits);
  void Walk(uint32_t node, LexState state, bool with_exits, Found* found);
  void WriteTokens(const Found& found, bool from_strings, MaskEntry* entry);
  void AddEndings(LexState state, Tokens tokens, uint32_t depth, std::vector<Ending>* endings);
  void MakeExits(std::span<const Ending> endings, bool from_strings, MaskEntry* entry);

  Lexer& lexer_;
  const Vocabulary& vocabulary_;
  MaskMemo* memo_;
};

}  // namespace retort::grammar
