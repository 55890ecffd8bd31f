#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "retort/grammar/grammar.h"
#include "retort/tokenizer/tokenizer.h"

namespace retort {

namespace grammar {
class Vocabulary;
struct ConstraintRuntime;
struct ConstraintPoint;
}  // namespace grammar

class ConstraintState;

// A grammar over one tokenizer's tokens, with the automata and masks that its requests share.
// Thread-safe; share it as std::shared_ptr<const Constraint>.
class Constraint {
 public:
  Constraint(std::shared_ptr<const Grammar> grammar,
             std::shared_ptr<const grammar::Vocabulary> vocabulary);
  ~Constraint();

  const Grammar& grammar() const { return *grammar_; }
  const grammar::Vocabulary& vocabulary() const { return *vocabulary_; }
  const std::string& digest() const { return grammar_->digest(); }
  // Words of a mask: one bit per token id, ⌈V/32⌉ words.
  size_t num_mask_words() const;

  // What it keeps for requests to come, as far as was last looked (every 64 tokens); masks that it
  // shares with other constraints count in full.
  uint64_t memory_bytes() const;

  // Before the first token.
  ConstraintState Start() const;

 private:
  friend class ConstraintState;
  std::shared_ptr<grammar::ConstraintRuntime> Runtime() const;

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const grammar::Vocabulary> vocabulary_;
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

// Where one generation stands. Copying it (a fork) is O(1), and so is going back: the states before
// are kept. Different states may be used on different threads, also forks of one another; one state
// by one thread at a time.
//
// Mask and Commit agree: a token is allowed if and only if its bytes lead to a state from which the
// text can be completed; end tokens if and only if the text is complete as it is. They throw
// Error{kExhausted} when the grammar turns out to need more than its limits, among them work_max
// and work_per_token, which bound what those wait who share a thread with it; the state is then as
// before the call. How much work a mask takes depends on what the grammar's other requests have
// met.
class ConstraintState {
 public:
  // bits[i / 32] >> (i % 32) & 1: token i is allowed. `bits` has num_mask_words() words, all
  // written; padding bits are 0.
  void Mask(std::span<uint32_t> bits) const;
  size_t num_mask_words() const;
  // False, and nothing changes, if the token is not allowed.
  bool Commit(int32_t token);
  bool Allows(int32_t token) const;
  // The text so far is in the language (an end token is allowed).
  bool IsComplete() const;
  // Nothing but the end may follow: the language has no longer text that begins so.
  bool MustEnd() const;
  // An end token was committed.
  bool IsFinished() const;
  // Back by `num_tokens` commits. Throws Error{kInvalid} if there were fewer.
  void Rollback(int num_tokens);
  int num_committed() const;

  // Bytes that must come next, whatever the model says; at most kForcedBytesMax. Empty at a choice.
  std::string ForcedBytes() const;
  // Tokens for (most of) ForcedBytes, as the tokenizer would cut them; not committed. Those at the
  // end that might merge with what follows are left out.
  std::vector<int32_t> ForcedTokens() const;
  static constexpr size_t kForcedBytesMax = 256;

  // The shortest text that completes what was committed, in bytes: empty if it is complete as it
  // is. Depends on the grammar and what was committed alone. Each key or item that must
  // not repeat is as short as those before it leave; nothing if they leave none. Throws
  // Error{kExhausted} if the grammar is too complex for that.
  std::optional<std::string> ClosingText() const;
  // Whether the first `num_bytes` bytes of what was committed are in the language.
  bool IsCompleteAt(size_t num_bytes) const;
  // A text that follows what was committed, as the tokenizer would cut it. At most one per byte.
  std::vector<int32_t> TokensOf(std::string_view text) const;

  ConstraintState Fork() const { return *this; }

 private:
  friend class Constraint;
  ConstraintState(std::shared_ptr<grammar::ConstraintRuntime> runtime,
                  std::shared_ptr<const grammar::ConstraintPoint> point);
  bool Advance(std::string_view bytes, grammar::ConstraintPoint* to) const;
  class Meter;

  std::shared_ptr<grammar::ConstraintRuntime> runtime_;
  std::shared_ptr<const grammar::ConstraintPoint> point_;
  mutable uint64_t credit_ = 0;  // work that may still be done (Limits::work_max)
};

// Compiled grammars by digest of their text, with their automata and masks; least recently used out
// first, beyond a number or a sum of memory_bytes(). What requests still use lives as long as they.
// Two threads that ask for the same text compile it once; a failed compile throws to all who wait
// and is not kept. Thread-safe.
class ConstraintCache {
 public:
  static constexpr uint64_t kBytesMax = 512u << 20;
  explicit ConstraintCache(std::shared_ptr<const grammar::Vocabulary> vocabulary,
                           size_t capacity = 256, uint64_t bytes_max = kBytesMax);
  ~ConstraintCache();

  // `key` must name front end, options and text; `compile` is called if it is not there.
  std::shared_ptr<const Constraint> Get(
      const std::string& key, const std::function<std::shared_ptr<const Grammar>()>& compile);
  size_t size() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The vocabulary of a tokenizer: build it once and share it among all constraints. The end tokens
// are the tokenizer's and those of `end_ids`, which a model's own settings may name beside them.
std::shared_ptr<const grammar::Vocabulary> MakeVocabulary(
    std::shared_ptr<const Tokenizer> tokenizer, std::span<const int32_t> end_ids = {});

}  // namespace retort
