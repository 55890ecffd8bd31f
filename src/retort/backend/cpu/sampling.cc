#include <algorithm>
#include <cmath>
#include <vector>

#include "retort/backend/cpu/ops.h"
#include "retort/base/error.h"
#include "retort/base/random.h"

namespace retort::cpu {
namespace {

bool IsAllowed(const uint32_t* allowed, int32_t token) {
  return allowed == nullptr || ((allowed[token / 32] >> (token % 32)) & 1) != 0;
}

// Tokens that can be drawn, the largest logit first, the lower id among equals.
std::vector<int32_t> Rank(const float* logits, int32_t vocab, const uint32_t* allowed,
                          int64_t row) {
  std::vector<int32_t> ranked;
  for (int32_t token = 0; token < vocab; ++token) {
    if (std::isnan(logits[token]) || logits[token] == INFINITY) {
      Throw(ErrorCode::kCorrupt, "logits row {}: {} at token {}", row, logits[token], token);
    }
    if (logits[token] != -INFINITY && IsAllowed(allowed, token)) ranked.push_back(token);
  }
  if (ranked.empty()) Throw(ErrorCode::kInvalid, "logits row {}: no token is allowed", row);
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  return ranked;
}

// Temperature, then top_k, top_p and min_p; the draw walks what is kept by ascending id.
int32_t Draw(const float* logits, const std::vector<int32_t>& ranked, const SamplingRow& row) {
  if (row.temperature == 0.0f) return ranked.front();
  size_t num_kept = ranked.size();
  if (row.top_k > 0) num_kept = std::min(num_kept, static_cast<size_t>(row.top_k));
  std::vector<std::pair<int32_t, double>> kept;  // token, weight; the first weighs 1
  double total = 0;
  for (size_t i = 0; i < num_kept; ++i) {
    const double difference = double{logits[ranked[i]]} - double{logits[ranked[0]]};
    kept.emplace_back(ranked[i], std::exp(difference / double{row.temperature}));
    total += kept.back().second;
  }
  if (row.top_p < 1.0f) {
    double mass = 0;
    size_t i = 0;
    while (i < kept.size() && mass < double{row.top_p} * total) mass += kept[i++].second;
    kept.resize(i);
  }
  while (kept.size() > 1 && kept.back().second < double{row.min_p}) kept.pop_back();
  std::sort(kept.begin(), kept.end());
  total = 0;
  for (const auto& [token, weight] : kept) total += weight;
  const double target = RandomUniform(row.seed, row.position) * total;
  double mass = 0;
  for (const auto& [token, weight] : kept) {
    mass += weight;
    if (mass > target) return token;
  }
  return kept.back().first;
}

double LogSumExp(const float* logits, int32_t vocab, const uint32_t* allowed) {
  double logit_max = -INFINITY;
  for (int32_t token = 0; token < vocab; ++token) {
    if (IsAllowed(allowed, token)) logit_max = std::max(logit_max, double{logits[token]});
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
  const double log_sum = LogSumExp(logits, vocab, row.allowed);
  sampled.logprob = static_cast<float>(double{logits[sampled.token_id]} - log_sum);
  const size_t num_top = std::min(ranked.size(), static_cast<size_t>(row.num_top_logprobs));
  for (size_t i = 0; i < num_top; ++i) {
    sampled.top_logprobs.push_back(
        {ranked[i], static_cast<float>(double{logits[ranked[i]]} - log_sum)});
  }
  return sampled;
}

}  // namespace

std::vector<SampledToken> Sample(Context& context, const Rows& logits,
                                 std::span<const SamplingRow> rows) {
  std::vector<SampledToken> sampled(rows.size());
  context.pool.ParallelFor(logits.rows, [&](int64_t row, int) {
    sampled[row] = SampleRow(logits.Row(row), static_cast<int32_t>(logits.cols), rows[row], row);
  });
  return sampled;
}

std::vector<float> Logprobs(Context& context, const Rows& logits,
                            std::span<const Device::LogprobQuery> queries) {
  std::vector<float> logprobs(queries.size());
  context.pool.ParallelFor(static_cast<int64_t>(queries.size()), [&](int64_t i, int) {
    const float* row = logits.Row(queries[i].row);
    const double log_sum = LogSumExp(row, static_cast<int32_t>(logits.cols), nullptr);
    logprobs[i] = static_cast<float>(double{row[queries[i].token_id]} - log_sum);
  });
  return logprobs;
}

}  // namespace retort::cpu
