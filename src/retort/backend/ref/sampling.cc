#include <algorithm>
#include <cmath>
#include <vector>

#include "retort/backend/ref/ref_memory.h"
#include "retort/base/error.h"
#include "retort/base/random.h"

namespace retort::ref {
namespace {

bool IsAllowed(const uint32_t* allowed, int32_t token) {
  return allowed == nullptr || ((allowed[token / 32] >> (token % 32)) & 1) != 0;
}

// Tokens that can be drawn, the largest logit first, the lower id among equals.
std::vector<int32_t> Rank(const float* logits, int32_t vocab, const uint32_t* allowed,
                          int64_t index) {
  std::vector<int32_t> ranked;
  for (int32_t token = 0; token < vocab; ++token) {
    const float logit = logits[token];
    if (std::isnan(logit) || logit == INFINITY) {
      Throw(ErrorCode::kCorrupt, "logits row {}: {} at token {}", index, logit, token);
    }
    if (logit != -INFINITY && IsAllowed(allowed, token)) ranked.push_back(token);
  }
  if (ranked.empty()) Throw(ErrorCode::kInvalid, "logits row {}: no token is allowed", index);
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  return ranked;
}

// temperature, then top_k, then top_p, then min_p; the draw walks what is kept by ascending id.
int32_t Draw(const float* logits, const std::vector<int32_t>& ranked, const SamplingRow& row) {
  if (row.temperature == 0.0f) return ranked.front();
  size_t num_kept = ranked.size();
  if (row.top_k > 0) num_kept = std::min(num_kept, static_cast<size_t>(row.top_k));
  std::vector<double> weights(num_kept);  // the largest is 1
  double total = 0;
  for (size_t i = 0; i < num_kept; ++i) {
    weights[i] =
        std::exp((double{logits[ranked[i]]} - double{logits[ranked[0]]}) / double{row.temperature});
    total += weights[i];
  }
  if (row.top_p < 1.0f) {
    double mass = 0;
    size_t i = 0;
    while (i < num_kept && mass < double{row.top_p} * total) mass += weights[i++];
    num_kept = i;
  }
  while (num_kept > 1 && weights[num_kept - 1] < double{row.min_p}) --num_kept;

  std::vector<size_t> order(num_kept);
  total = 0;
  for (size_t i = 0; i < num_kept; ++i) total += weights[order[i] = i];
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ranked[a] < ranked[b]; });
  const double target = RandomUniform(row.seed, row.position) * total;
  double mass = 0;
  for (const size_t i : order) {
    mass += weights[i];
    if (mass > target) return ranked[i];
  }
  return ranked[order.back()];
}

}  // namespace

double LogSumExp(const float* logits, int32_t vocab, const uint32_t* allowed, int64_t index) {
  double logit_max = -INFINITY;
  for (int32_t token = 0; token < vocab; ++token) {
    if (std::isnan(logits[token]) || logits[token] == INFINITY) {
      Throw(ErrorCode::kCorrupt, "logits row {}: {} at token {}", index, logits[token], token);
    }
    if (IsAllowed(allowed, token)) logit_max = std::max(logit_max, double{logits[token]});
  }
  if (logit_max == -INFINITY) {
    Throw(ErrorCode::kInvalid, "logits row {}: no token is allowed", index);
  }
  double sum = 0;
  for (int32_t token = 0; token < vocab; ++token) {
    if (IsAllowed(allowed, token)) sum += std::exp(double{logits[token]} - logit_max);
  }
  return logit_max + std::log(sum);
}

SampledToken SampleRow(const float* logits, int32_t vocab, const SamplingRow& row, int64_t index) {
  const std::vector<int32_t> ranked = Rank(logits, vocab, row.allowed, index);
  SampledToken sampled;
  sampled.token_id = Draw(logits, ranked, row);
  if (row.num_top_logprobs < 0) return sampled;
  const double log_sum = LogSumExp(logits, vocab, row.allowed, index);
  sampled.logprob = static_cast<float>(double{logits[sampled.token_id]} - log_sum);
  const size_t num_top = std::min(ranked.size(), static_cast<size_t>(row.num_top_logprobs));
  for (size_t i = 0; i < num_top; ++i) {
    const float logprob = static_cast<float>(double{logits[ranked[i]]} - log_sum);
    sampled.top_logprobs.push_back({ranked[i], logprob});
  }
  return sampled;
}

}  // namespace retort::ref
