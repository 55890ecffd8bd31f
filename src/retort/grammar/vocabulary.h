#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "retort/grammar/regex_pool.h"
#include "retort/grammar/token_trie.h"
#include "retort/tokenizer/tokenizer.h"

namespace retort::grammar {

// What one lexer state allows below one node of the vocabulary's trie, whatever grammar it is in.
struct MaskEntry {
  // Tokens through which the lexer stays alive: bits if many, else ids.
  std::vector<uint32_t> bits;
  std::vector<int32_t> ids;
  // For each label with which the lexeme may end inside a token: what is left of these tokens.
  struct Exit {
    uint32_t label = 0;
    std::shared_ptr<const TokenTrie> rest;
  };
  std::vector<Exit> exits;
  uint64_t memory_bytes() const;
};

// A tokenizer's tokens seen as bytes, and the masks of lexer states met so far, shared by all
// grammars. Special and control tokens are no text: a constraint never allows them, but for the end
// tokens once it is satisfied. Thread-safe. About 15 MB for 128,000 tokens.
class Vocabulary {
 public:
  // `end_ids`: more of them than the tokenizer knows; those outside it are left out.
  explicit Vocabulary(std::shared_ptr<const Tokenizer> tokenizer,
                      std::span<const int32_t> end_ids = {});
  // For tests: the bytes of each id (empty: no text), and the end ids.
  Vocabulary(std::vector<std::string> tokens, std::vector<int32_t> end_ids);

  int32_t size() const { return size_; }
  size_t num_mask_words() const { return (static_cast<size_t>(size_) + 31) / 32; }
  std::string_view Text(int32_t id) const { return texts_[id]; }  // empty: not text
  std::span<const int32_t> end_ids() const { return end_ids_; }
  bool IsEnd(int32_t id) const;
  // A text cut into the longest tokens there are, from its beginning; up to where none fits.
  std::vector<int32_t> LongestTokens(std::string_view text) const;
  const TokenTrie& trie() const { return trie_; }
  const TokenStream& token_stream() const { return token_stream_; }
  const Tokenizer* tokenizer() const { return tokenizer_.get(); }  // null in tests

  // How many code points of a JSON string's body each token is, so that a bound on the length of a
  // string costs a lookup.
  struct StringProfile {
    // within[n]: tokens that stay in the body and begin at most n characters there.
    std::vector<std::vector<uint32_t>> within;
    // Tokens that end the body after `count` characters, with what follows the closing quote.
    struct End {
      uint32_t count = 0;
      int32_t id = 0;
      std::string_view rest;
    };
    std::vector<End> ends;                   // ascending by `rest`
    std::shared_ptr<const TokenTrie> rests;  // all that are not empty
    size_t num_rests = 0;
    uint32_t count_max = 0;
  };
  const StringProfile& string_profile() const { return profile_; }

  struct MaskKey {
    StructureHash state;
    uint32_t node = 0;
    bool operator==(const MaskKey&) const = default;
  };
  std::shared_ptr<const MaskEntry> FindMask(const MaskKey& key) const;
  // Keeps it if there is room (kMaskBytesMax in all).
  void KeepMask(const MaskKey& key, std::shared_ptr<const MaskEntry> entry) const;

 private:
  void Build();
  void BuildProfile();

  struct KeyHash {
    size_t operator()(const MaskKey& key) const { return key.state.low ^ key.node * 0x9e3779b9u; }
  };
  struct Shard {
    std::mutex mutex;
    std::unordered_map<MaskKey, std::shared_ptr<const MaskEntry>, KeyHash> masks;
    uint64_t bytes = 0;
  };
  static constexpr size_t kNumShards = 16;
  static constexpr uint64_t kMaskBytesMax = 128u << 20;

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<std::string> owned_;
  std::vector<std::string_view> texts_;
  std::vector<int32_t> end_ids_;
  int32_t size_ = 0;
  TokenTrie trie_;
  TokenStream token_stream_;
  StringProfile profile_;
  mutable std::array<Shard, kNumShards> shards_;
};

}  // namespace retort::grammar
