#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "retort/base/shared_data_test.h"
#include "retort/engine/engine.h"

// What the engine's tests share: real tiny models and short ways to ask them.
namespace retort {

inline std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::filesystem::path Stories() { return SharedData() / "models" / "stories260K-hf"; }

#define SKIP_WITHOUT(path) \
  if (!std::filesystem::exists(path)) GTEST_SKIP() << (path) << " is not there"

inline EngineOptions StoriesOptions() {
  EngineOptions options;
  options.path = Stories();
  options.name = "stories";
  options.device = "ref";
  options.compute = Compute::kExact;
  options.kv_bytes = 8 << 20;
  return options;
}

inline Request Ask(std::string text, SamplingParams sampling = {}) {
  Request request;
  request.prompt = std::vector<Span>{{std::move(text), false}};
  request.work = Generation{std::move(sampling), nullptr};
  return request;
}

inline SamplingParams Greedy(int max_new_tokens) {
  SamplingParams sampling;
  sampling.temperature = 0;
  sampling.max_new_tokens = max_new_tokens;
  return sampling;
}

inline std::future<Response> SubmitTo(LanguageModel& model, Request request) {
  auto promise = std::make_shared<std::promise<Response>>();
  std::future<Response> future = promise->get_future();
  ResponseHandler handler;
  handler.on_done = [promise](Response response) { promise->set_value(std::move(response)); };
  model.Submit(std::move(request), std::move(handler));
  return future;
}

inline std::vector<Response> Answers(LanguageModel& model, const std::vector<Request>& requests) {
  std::vector<std::future<Response>> futures;
  for (const Request& request : requests) futures.push_back(SubmitTo(model, request));
  std::vector<Response> responses;
  for (auto& future : futures) responses.push_back(future.get());
  return responses;
}

inline const Completion& CompletionOf(const Response& response) {
  if (const auto* error = std::get_if<Error>(&response.result)) throw *error;
  return std::get<Completion>(response.result);
}

inline ErrorCode CodeOf(const Response& response) {
  const auto* error = std::get_if<Error>(&response.result);
  EXPECT_NE(error, nullptr) << "an answer where an error was expected";
  return error == nullptr ? ErrorCode::kInternal : error->code();
}

// All bits of an answer, for comparison.
inline std::string Bits(const Response& response) {
  std::string bits;
  const auto add = [&bits](const auto& value) {
    bits.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  if (const auto* error = std::get_if<Error>(&response.result)) return "error: " + error->message();
  if (const auto* completion = std::get_if<Completion>(&response.result)) {
    bits = completion->text;
    for (const int32_t id : completion->token_ids) add(id);
    for (const TokenLogprobs& token : completion->logprobs) {
      add(token.logprob);
      for (const auto& [id, logprob] : token.top) {
        add(id);
        add(logprob);
      }
    }
  } else if (const auto* scores = std::get_if<Scores>(&response.result)) {
    for (const ContinuationScore& score : scores->continuations) {
      add(score.logprob);
      add(score.first_token_logprob);
    }
  } else {
    for (const float value : std::get<EmbeddingVector>(response.result).values) add(value);
  }
  return bits;
}

}  // namespace retort
