#include "retort/engine/work.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace retort {

GenerationWork::GenerationWork(const SamplingParams& sampling,
                               std::shared_ptr<const Tokenizer> tokenizer, bool at_start,
                               std::span<const int32_t> end_ids, int num_tokens_max,
                               std::optional<ConstraintState> constraint)
    : sampling_(sampling),
      end_ids_(end_ids),
      num_tokens_max_(num_tokens_max),
      // A constraint speaks of every byte, also of the space that some tokenizers put first.
      text_(std::move(tokenizer), at_start && !constraint, sampling.stop),
      constraint_(std::move(constraint)) {}

SamplingRow GenerationWork::Sampling(int64_t position) const {
  SamplingRow row;
  row.temperature = sampling_.temperature;
  row.top_k = sampling_.top_k;
  row.top_p = sampling_.top_p;
  row.min_p = sampling_.min_p;
  row.seed = sampling_.seed;
  row.position = static_cast<uint64_t>(position);
  row.num_top_logprobs = sampling_.num_top_logprobs;
  return row;
}

void GenerationWork::FillMask(int64_t vocab_size, std::span<uint32_t> words) const {
  const size_t num_words = constraint_->num_mask_words();
  if (words.size() < num_words || static_cast<int64_t>(words.size()) * 32 < vocab_size) {
    Throw(ErrorCode::kInternal, "a mask of {} words was given for {} tokens", words.size(),
          std::max(static_cast<int64_t>(num_words) * 32, vocab_size));
  }
  constraint_->Mask(words.first(num_words));
  // Models may have more logits than the tokenizer has tokens, and fewer.
  const size_t num_whole = static_cast<size_t>(vocab_size / 32);
  std::fill(words.begin() + static_cast<std::ptrdiff_t>(num_words), words.end(), 0u);
  if (num_whole < words.size()) {
    words[num_whole] &= (1u << (vocab_size % 32)) - 1;
    std::fill(words.begin() + static_cast<std::ptrdiff_t>(num_whole) + 1, words.end(), 0u);
  }
  const auto any = [&] {
    return std::any_of(words.begin(), words.end(), [](uint32_t word) { return word != 0; });
  };
  if (sampling_.ignore_eos && constraint_->IsComplete()) {
    std::vector<uint32_t> all(words.begin(), words.end());
    for (const int32_t id : end_ids_) {
      if (id < vocab_size) words[static_cast<size_t>(id / 32)] &= ~(1u << (id % 32));
    }
    if (!any()) std::copy(all.begin(), all.end(), words.begin());
  }
  if (!any()) {
    Throw(ErrorCode::kUnsupported,
          "no token of the model's vocabulary spells what the constraint asks for after '{}'",
          text_.text());
  }
}

bool GenerationWork::Finish(FinishReason reason, bool constraint_met) {
  completion_.finish_reason = reason;
  completion_.constraint_met = constraint_met;
  return true;
}

bool GenerationWork::AcceptForced() {
  if (!constraint_) return false;
  if (constraint_->MustEnd()) {  // the empty text
    text_.Finish();
    return Finish(FinishReason::kStop, true);
  }
  for (const int32_t id : constraint_->ForcedTokens()) {
    SampledToken token;
    token.token_id = id;
    if (sampling_.num_top_logprobs > 0) token.top_logprobs.push_back({id, 0.0f});
    if (Accept(token)) return true;
    if (completion_.token_ids.back() != id) break;  // closed instead
  }
  return false;
}

std::vector<int32_t> GenerationWork::ClosingTokens(const ConstraintState& state) const {
  const auto text = state.ClosingText();
  if (!text) {
    Throw(ErrorCode::kUnsupported, "no short text was found that completes the constraint");
  }
  return state.TokensOf(*text);
}

void GenerationWork::CloseInTime() {
  close_ = true;
  closing_ = ClosingTokens(*constraint_);
  if (static_cast<int>(closing_.size()) <= num_tokens_max_) return;
  Throw(ErrorCode::kExhausted,
        "the shortest text found that the constraint allows has {} tokens, more than the {} there "
        "are",
        closing_.size(), num_tokens_max_);
}

// Whether what follows `token` can be ended in the tokens that are left then.
bool GenerationWork::FitsAfter(int32_t token) {
  const auto num_left = static_cast<size_t>(num_tokens_max_ - num_tokens() - 1);
  if (!closing_.empty() && token == closing_.front()) {
    closing_.erase(closing_.begin());
    if (closing_.size() <= num_left) return true;
  }
  ConstraintState next = *constraint_;
  if (!next.Commit(token) || next.IsFinished()) return true;  // nothing to end, or Take's to tell
  const auto text = next.ClosingText();
  if (!text) return false;
  // A token has at least one byte.
  std::vector<int32_t> tokens;
  if (text->size() > num_left) {
    tokens = next.TokensOf(*text);
    if (tokens.size() > num_left) return false;
  }
  closing_ = std::move(tokens);
  return true;
}

bool GenerationWork::Accept(const SampledToken& token) {
  if (!close_ || FitsAfter(token.token_id)) return Take(token);
  if (constraint_->IsComplete()) {
    if (text_.Finish()) return Finish(FinishReason::kStop, false);
    return Finish(FinishReason::kLength, true);
  }
  if (closing_.empty()) closing_ = ClosingTokens(*constraint_);
  SampledToken closing;
  closing.token_id = closing_.front();
  if (sampling_.num_top_logprobs > 0) closing.top_logprobs.push_back({closing.token_id, 0.0f});
  closing_.erase(closing_.begin());
  return Take(closing);
}

bool GenerationWork::Take(const SampledToken& token) {
  completion_.token_ids.push_back(token.token_id);
  if (sampling_.num_top_logprobs >= 0) {
    TokenLogprobs logprobs{token.token_id, token.logprob, {}};
    for (const TokenLogprob& top : token.top_logprobs) {
      logprobs.top.emplace_back(top.token_id, top.logprob);
    }
    completion_.logprobs.push_back(std::move(logprobs));
  }
  if (constraint_ && !constraint_->Commit(token.token_id)) {
    Throw(ErrorCode::kInternal, "token {} was drawn, which the constraint does not allow",
          token.token_id);
  }
  const bool is_end =
      constraint_ ? constraint_->IsFinished()
                  : !sampling_.ignore_eos &&
                        std::binary_search(end_ids_.begin(), end_ids_.end(), token.token_id);
  if (is_end) {
    text_.Finish();
    return Finish(FinishReason::kStop, true);
  }
  // A stop string takes away text that the constraint counts on.
  if (text_.Push(token.token_id)) return Finish(FinishReason::kStop, !constraint_);
  const bool must_end = constraint_ && constraint_->MustEnd();
  if (!must_end && num_tokens() < num_tokens_max_) return false;
  if (text_.Finish()) return Finish(FinishReason::kStop, !constraint_);
  return Finish(must_end ? FinishReason::kStop : FinishReason::kLength,
                !constraint_ || constraint_->IsComplete());
}

Completion GenerationWork::TakeResult() {
  completion_.text = text_.text();
  return std::move(completion_);
}

ScoringWork::ScoringWork(std::vector<std::vector<int32_t>> continuations, int64_t prompt_tokens)
    : continuations_(std::move(continuations)), prompt_tokens_(prompt_tokens) {
  for (const std::vector<int32_t>& continuation : continuations_) {
    ContinuationScore score;
    score.num_tokens = static_cast<int>(continuation.size());
    scores_.continuations.push_back(score);
  }
}

int64_t ScoringWork::num_tokens_max() const {
  size_t longest = 0;
  for (const auto& continuation : continuations_) longest = std::max(longest, continuation.size());
  return static_cast<int64_t>(longest);
}

void ScoringWork::AppendQueries(int64_t position, int32_t row,
                                std::vector<Device::LogprobQuery>& queries) const {
  if (!prompt_done_) {
    for (const auto& continuation : continuations_) queries.push_back({row, continuation[0]});
    return;
  }
  const size_t index = static_cast<size_t>(position - prompt_tokens_ + 1);
  queries.push_back({row, continuations_[current_].at(index)});
}

void ScoringWork::Accept(int64_t /*position*/, std::span<const float> logprobs) {
  if (prompt_done_) {
    scores_.continuations[current_].logprob += logprobs[0];
    return;
  }
  for (size_t i = 0; i < continuations_.size(); ++i) {
    scores_.continuations[i].first_token_logprob = logprobs[i];
    scores_.continuations[i].logprob = logprobs[i];
  }
}

std::vector<int32_t> ScoringWork::NextTokens() {
  current_ = prompt_done_ ? current_ + 1 : 0;
  prompt_done_ = true;
  while (current_ < continuations_.size() && continuations_[current_].size() == 1) ++current_;
  if (current_ == continuations_.size()) return {};
  return {continuations_[current_].begin(), continuations_[current_].end() - 1};
}

EmbeddingVector EmbeddingWork::Finish(std::span<const float> state_or_sum,
                                      int64_t num_tokens) const {
  const double divisor = is_mean() ? static_cast<double>(num_tokens) : 1.0;
  double square = 0;
  for (const float value : state_or_sum) {
    square += static_cast<double>(value) / divisor * (static_cast<double>(value) / divisor);
  }
  if (!std::isfinite(square)) {
    Throw(ErrorCode::kCorrupt, "the model's hidden state for this prompt is not finite");
  }
  double scale = 1.0 / divisor;
  if (embedding_.normalize && square > 0) scale /= std::sqrt(square);
  EmbeddingVector embedding;
  embedding.values.reserve(state_or_sum.size());
  for (const float value : state_or_sum) {
    embedding.values.push_back(static_cast<float>(value * scale));
  }
  return embedding;
}

}  // namespace retort
