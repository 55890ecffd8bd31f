#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "retort/llm/language_model.h"

namespace retort {

// The prompt as the scripted model reads it: chat messages as "<|role|>\ncontent\n" each (content
// that is a list of parts: its texts), then "<|tools|>\n" + JSON if there are tools, then
// "<|assistant|>\n" if a generation prompt is wanted; spans as their text; token ids in decimal,
// separated by spaces. Throws Error{kInvalid} for messages that are not what ChatPrompt says.
std::string ScriptedPromptText(const Prompt& prompt);

// One line of a script: prompts that it matches get this answer.
struct ScriptRule {
  std::string match;  // PCRE2 pattern, searched anywhere in the prompt's text; "" matches all
  // What to say; one of them is picked by the request's seed. `$0` to `$9` stand for what the
  // pattern and its groups matched, `${seed}`, `${tag}` and `${digest}` (8 hex digits of the
  // prompt) for the request's own, `$$` for a dollar.
  std::vector<std::string> replies;
  std::map<std::string, double> scores;  // continuation → log-probability; others get a hash's
  std::optional<Error> error;            // instead of an answer
  int num_failures = -1;                 // `error` only the first n times per prompt; -1: always
};

// A table of rules, tried in order. A prompt that none matches gets the default reply.
struct Script {
  std::string name = "scripted";  // part of every request key
  std::vector<ScriptRule> rules;
  std::string default_reply = "ok";
};

// Reads a script as a scenario file holds it:
//   {"name": "judge", "default": "ok",
//    "rules": [{"match": "Rewrite: (.*)", "reply": "Harder: $1"},
//              {"match": "Rate", "reply": ["3", "4"], "scores": {"1": -2.5, "2": -0.1}},
//              {"match": "poison", "error": "unavailable", "message": "no route", "times": 2}]}
// Throws Error{kInvalid} naming `origin` and the key for anything else, unknown keys among it.
Script ParseScript(const Json& value, std::string_view origin);

struct ScriptedOptions {
  // Threads that answer. 0: Submit answers before it returns, on the caller's thread, so a handler
  // that submits again recurses.
  int num_threads = 0;
  // With threads: which of the waiting requests is taken next is drawn from this seed, so answers
  // come out of order. Unset: in order of arrival.
  std::optional<uint64_t> shuffle_seed;
  int delay_us = 0;             // added to each answer
  int text_bytes_per_call = 0;  // of `on_text`; 0: the whole text in one call
  int embedding_dim = 16;
  int num_sequences_max = 32;
  int context_tokens_max = 1 << 20;  // prompts longer than this fail with kExhausted
  bool record = false;               // keep what was asked, for calls()
};

// A model that says what its script says: for tests of everything above the engine.
// Deterministic: an answer depends on the request alone (and, with num_failures, on how often its
// prompt was asked). A "token" is a run of at most four bytes that does not cut a character.
// Honours max_new_tokens, stop strings, log-probabilities asked for, deadline and stop token. It
// says what the script says whatever a constraint allows, but refuses one that does not compile and
// tells whether the text is what it asks for.
// Embeddings are sums of hash-derived word vectors: equal bags of words have equal vectors, texts
// that share words are near. About 1 µs per request beside the pattern matching.
class ScriptedModel : public LanguageModel {
 public:
  // Answers in place of the table. May throw Error: the request fails with it. Called from
  // `num_threads` threads at once.
  using Function = std::function<Response(const Request&, const std::string& prompt_text)>;

  struct Call {
    std::string id;
    std::string tag;
    std::string prompt_text;
    bool operator==(const Call&) const = default;
  };

  // Throws Error{kInvalid} for a pattern that does not compile.
  explicit ScriptedModel(Script script, ScriptedOptions options = {});
  // Says `reply` to everything.
  explicit ScriptedModel(std::string reply);
  ScriptedModel(std::string name, Function function, ScriptedOptions options = {});
  ~ScriptedModel() override;  // answers what was submitted, then ends

  ModelDescription description() const override;
  ModelStats stats() const override;
  std::string RequestKey(const Request& request) const override;
  void Submit(Request request, ResponseHandler handler) override;

  uint64_t num_calls() const;          // requests submitted so far
  uint64_t num_in_flight_max() const;  // the most that were submitted and unanswered at once
  std::vector<Call> calls() const;     // in order of submission; needs ScriptedOptions::record

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The completion a scripted model makes of a text under a request's sampling parameters.
Response MakeCompletion(std::string_view text, const SamplingParams& sampling,
                        std::string_view prompt_text);

}  // namespace retort
