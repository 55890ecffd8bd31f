#include "retort/llm/request_check.h"

#include <cmath>

namespace retort {

void CheckSampling(const SamplingParams& sampling) {
  const auto require = [](bool holds, const char* name, auto value, const char* expected) {
    if (!holds) Throw(ErrorCode::kInvalid, "{} is {}, it must be {}", name, value, expected);
  };
  require(std::isfinite(sampling.temperature) && sampling.temperature >= 0, "temperature",
          sampling.temperature, "a number from 0");
  require(sampling.top_k >= 0, "top_k", sampling.top_k, "0 (all) or more");
  require(sampling.top_p > 0 && sampling.top_p <= 1, "top_p", sampling.top_p, "above 0, at most 1");
  require(sampling.min_p >= 0 && sampling.min_p <= 1, "min_p", sampling.min_p, "from 0 to 1");
  require(sampling.max_new_tokens >= 1, "max_new_tokens", sampling.max_new_tokens, "1 or more");
  require(sampling.num_top_logprobs >= -1 && sampling.num_top_logprobs <= kTopLogprobsMax,
          "num_top_logprobs", sampling.num_top_logprobs, "-1 (none) to 256");
  require(sampling.stop.size() <= kStopStringsMax, "the number of stop strings",
          sampling.stop.size(), "at most 64");
  for (const std::string& stop : sampling.stop) {
    require(!stop.empty() && stop.size() <= kStopStringBytesMax, "the length of a stop string",
            stop.size(), "1 to 4096 bytes");
  }
}

namespace {

void Check(const Generation& work) { CheckSampling(work.sampling); }

void Check(const Scoring& work) {
  const size_t count = work.continuations.size();
  if (count < 1 || count > kContinuationsMax) {
    Throw(ErrorCode::kInvalid, "{} continuations to score, expected 1 to {}", count,
          kContinuationsMax);
  }
  for (size_t i = 0; i < count; ++i) {
    if (work.continuations[i].empty()) {
      Throw(ErrorCode::kInvalid, "continuation {} is empty", i + 1);
    }
  }
}

void Check(const Embedding&) {}

}  // namespace

void CheckRequest(const Request& request) {
  std::visit([](const auto& work) { Check(work); }, request.work);
}

}  // namespace retort
