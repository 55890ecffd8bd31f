#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/chat/span.h"
#include "retort/llm/constraint_text.h"

namespace retort {

// Messages rendered by the model's own chat template.
struct ChatPrompt {
  Json messages = Json::array();  // [{"role": ..., "content": ...}, ...]
  Json tools = nullptr;           // an array, or null
  bool add_generation_prompt = true;
  Json template_arguments = Json::object();  // further variables of the chat template
};

// What the model reads: chat messages; marked text, tokenised as it stands (control tokens only
// from template spans, no chat template, BOS if the tokenizer adds one); or token ids as they are.
using Prompt = std::variant<ChatPrompt, std::vector<Span>, std::vector<int32_t>>;

struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy
  int top_k = 0;             // 0: all
  float top_p = 1.0f;
  float min_p = 0.0f;
  uint64_t seed = 0;
  int max_new_tokens = 128;
  std::vector<std::string>
      stop;  // ends before the first of these appears in the text; not part of the text
  bool ignore_eos = false;
  int num_top_logprobs =
      -1;  // -1: no log-probabilities; 0: of the drawn tokens; n: and of the n likeliest
};

// Continue the prompt.
struct Generation {
  SamplingParams sampling;
  // Which texts the completion may be; null: any. With it, log-probabilities are of the
  // distribution over the tokens that it allows, and `ignore_eos` ends nothing that it lets go on.
  std::shared_ptr<const ConstraintText> constraint;
  // With a constraint: it is met within max_new_tokens, come what may. A token after which the rest
  // could not be ended in time gives way to a short text that ends it. Error{kExhausted} if even
  // that takes more tokens.
  bool close = false;
};

// Log-probability of each given continuation after the prompt: the sum over its tokens, and the
// first token's. A continuation is plain text, tokenised by itself as text that follows other text
// (no space is put before it, none of it merges with the prompt's last token). The prompt is
// computed once for all of them, and no more if every continuation is one token.
struct Scoring {
  std::vector<std::string> continuations;  // at most kContinuationsMax, none empty
};
inline constexpr int kContinuationsMax = 256;

enum class PoolingKind { kLastToken, kMean };

// The hidden state after the final norm, pooled over the prompt.
struct Embedding {
  PoolingKind pooling = PoolingKind::kLastToken;
  bool normalize = false;  // to unit L2 length
};

// One piece of work for a model. A value; copyable.
struct Request {
  std::string
      id;  // the caller's name for it (a ledger key); written to the engine's log. May be empty.
  std::string tag;  // who asks, e.g. "evolve/00001234"; for the log only
  Prompt prompt;
  std::variant<Generation, Scoring, Embedding> work;
  int priority = 0;  // higher first; equal: in order of arrival
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::stop_token stop;  // cancels the request within one step
};

enum class FinishReason {
  kStop,    // the model ended its turn, or a stop string appeared
  kLength,  // max_new_tokens, or the context, is full
};

struct TokenLogprobs {
  int32_t token_id = -1;
  float logprob = 0;
  std::vector<std::pair<int32_t, float>> top;  // likeliest first
};

struct Usage {
  int prompt_tokens = 0;
  int cached_tokens = 0;  // of the prompt, taken from the prefix cache
  int completion_tokens = 0;
};

struct Completion {
  std::string text;  // valid UTF-8
  // Every token that was drawn, that which ended the turn and those of a stop string among them.
  std::vector<int32_t> token_ids;
  FinishReason finish_reason = FinishReason::kStop;
  std::vector<TokenLogprobs> logprobs;  // one per token if asked
  // The text is what the request's constraint asks for; true without one. False: it was cut, by
  // max_new_tokens, the context or a stop string, and is the beginning of such a text.
  bool constraint_met = true;
};

struct ContinuationScore {
  double logprob = 0;              // of the whole continuation
  double first_token_logprob = 0;  // of its first token alone
  int num_tokens = 0;
};

struct Scores {
  std::vector<ContinuationScore> continuations;  // in the order asked
};

struct EmbeddingVector {
  std::vector<float> values;  // [E]
};

// How a request ended: with its result or with an error that concerns it alone.
struct Response {
  std::variant<Error, Completion, Scores, EmbeddingVector> result;
  Usage usage;

  bool ok() const { return result.index() != 0; }
};

}  // namespace retort
