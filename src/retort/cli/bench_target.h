#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "retort/llm/language_model.h"

namespace retort {

// Prompts of token ids that every vocabulary has; none begins like another.
class BenchPrompts {
 public:
  std::vector<int32_t> Next(int num_tokens);

 private:
  uint64_t num_prompts_ = 1;
};

// What a benchmark sends its requests to.
class BenchTarget {
 public:
  virtual ~BenchTarget() = default;
  // Answers a request of each prompt with exactly `new_tokens` tokens, the likeliest ones, all
  // requests at once, and returns with the last answer. Throws Error if one fails.
  virtual void Generate(std::vector<std::vector<int32_t>> prompts, int new_tokens) = 0;
};

// A model in this process, which outlives the target.
std::unique_ptr<BenchTarget> LocalBenchTarget(LanguageModel& model, std::stop_token stop);

// A server of OpenAI's completions, at `url`, e.g. http://localhost:8000/v1. It has to take prompts
// of token ids, and `ignore_eos`, as vLLM and llama.cpp do.
struct BenchServer {
  std::string url;
  std::string model;    // empty: the first that the server lists
  std::string api_key;  // empty: none
};
// Fills in `server->model`. Throws Error{kUnavailable} and others if the server does not answer.
std::unique_ptr<BenchTarget> RemoteBenchTarget(BenchServer* server, std::stop_token stop);

}  // namespace retort
