#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "retort/backend/device.h"
#include "retort/engine/text_assembler.h"
#include "retort/grammar/constraint.h"
#include "retort/llm/request.h"

// How far each kind of work has come: what is asked of the model next, and what its answers mean.
// Host logic only; not thread-safe.
namespace retort {

// A completion, token by token.
class GenerationWork {
 public:
  // `end_ids`, ascending, end the turn; they must outlive the work. `num_tokens_max` is what the
  // context leaves of max_new_tokens, at least 1. `constraint`: before its first token, if any.
  GenerationWork(const SamplingParams& sampling, std::shared_ptr<const Tokenizer> tokenizer,
                 bool at_start, std::span<const int32_t> end_ids, int num_tokens_max,
                 std::optional<ConstraintState> constraint = std::nullopt);

  // How to draw the token at `position` of the sequence.
  SamplingRow Sampling(int64_t position) const;
  bool is_constrained() const { return constraint_.has_value(); }
  // Which tokens may be drawn next: one bit each of `vocab_size`, in at least as many words as that
  // takes. Requires is_constrained(). Throws Error{kExhausted} if the constraint turns out to need
  // more than its limits, {kUnsupported} if no token of the model spells what it asks for.
  void FillMask(int64_t vocab_size, std::span<uint32_t> words) const;
  // Takes the token that was drawn. True: the completion is finished.
  bool Accept(const SampledToken& token);
  // Takes the tokens that the constraint leaves no choice about; their log-probability is 0. Call
  // before the first token and after each that did not finish the completion. True: it is finished
  // now.
  bool AcceptForced();
  // From now on the constraint is met within the tokens there are (Generation::close). Call before
  // the first token. Throws Error{kExhausted} if they are too few.
  void CloseInTime();

  std::span<const int32_t> token_ids() const { return completion_.token_ids; }
  int num_tokens() const { return static_cast<int>(completion_.token_ids.size()); }
  std::string TakeDelta() { return text_.TakeDelta(); }
  Completion TakeResult();

 private:
  bool Finish(FinishReason reason, bool constraint_met);
  bool Take(const SampledToken& token);
  bool FitsAfter(int32_t token);
  std::vector<int32_t> ClosingTokens(const ConstraintState& state) const;

  SamplingParams sampling_;
  std::span<const int32_t> end_ids_;
  int num_tokens_max_;
  TextAssembler text_;
  std::optional<ConstraintState> constraint_;
  bool close_ = false;
  std::vector<int32_t> closing_;  // tokens that complete what there is, if known
  Completion completion_;
};

// Log-probabilities of continuations. The prompt's last position answers for the first token of
// each; those that are longer then follow the prompt one after the other, in its own pages.
class ScoringWork {
 public:
  // Each continuation has at least one token.
  ScoringWork(std::vector<std::vector<int32_t>> continuations, int64_t prompt_tokens);

  int64_t num_tokens_max() const;  // of the longest continuation

  // What is asked of the logits at `position`.
  void AppendQueries(int64_t position, int32_t row,
                     std::vector<Device::LogprobQuery>& queries) const;
  // The answers to the queries of one position, in their order.
  void Accept(int64_t position, std::span<const float> logprobs);

  // The tokens to compute after the prompt next; their positions' logits are wanted. Call when all
  // that was asked for is answered. Empty: the work is done.
  std::vector<int32_t> NextTokens();
  Scores TakeResult() { return std::move(scores_); }

 private:
  std::vector<std::vector<int32_t>> continuations_;
  int64_t prompt_tokens_;
  size_t current_ = 0;  // the continuation whose later tokens are computed
  bool prompt_done_ = false;
  Scores scores_;
};

// A pooled hidden state.
class EmbeddingWork {
 public:
  explicit EmbeddingWork(const Embedding& embedding) : embedding_(embedding) {}

  bool is_mean() const { return embedding_.pooling == PoolingKind::kMean; }

  // From the last token's state, or the sum over `num_tokens` states. Throws Error{kCorrupt} if it
  // is not finite.
  EmbeddingVector Finish(std::span<const float> state_or_sum, int64_t num_tokens) const;

  int accumulator = -1;  // where the sum gathers, while the sequence runs

 private:
  Embedding embedding_;
};

using Work = std::variant<GenerationWork, ScoringWork, EmbeddingWork>;

}  // namespace retort
