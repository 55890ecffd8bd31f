#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "retort/base/error.h"
#include "retort/base/random.h"
#include "tests/conformance/ops/subject_test.h"

// Sample and Logprobs. Tokens must be ref's, except where ref's own numbers say that f32 weights
// may decide otherwise; such rows are counted, and must be few.
namespace retort::conformance {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class SamplingTest : public SubjectTest {};
RETORT_ON_EVERY_DEVICE(SamplingTest);

// A row's weights in double and how far f32 ones may be off: the difference and the quotient round
// once each, so the exponent x is off by 2u|x|, the exponential by 2^-22, and what is below 2^-126
// may be 0.
struct Weighed {
  std::vector<int32_t> ranked;  // tokens by falling logit, then rising id
  std::vector<double> weights;  // in that order; the first is 1
  std::vector<double> errors;
};

Weighed Weigh(std::span<const float> logits, const SamplingRow& row, double temperature) {
  Weighed weighed;
  for (int32_t token = 0; token < std::ssize(logits); ++token) {
    const bool is_allowed =
        row.allowed == nullptr || ((row.allowed[token / 32] >> (token % 32)) & 1) != 0;
    if (is_allowed && logits[token] != -kInf) weighed.ranked.push_back(token);
  }
  std::stable_sort(weighed.ranked.begin(), weighed.ranked.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  for (const int32_t token : weighed.ranked) {
    const double x = (double{logits[token]} - double{logits[weighed.ranked[0]]}) / temperature;
    weighed.weights.push_back(std::exp(x));
    const double relative = 0x1p-22 + 2.1 * kUnit * std::fabs(x);
    weighed.errors.push_back(x == 0 ? 0 : std::exp(x) * relative + 0x1p-126);  // e^0 is exactly 1
  }
  return weighed;
}

double Sum(const std::vector<double>& values, size_t count) {
  return std::accumulate(values.begin(), values.begin() + static_cast<int64_t>(count), 0.0);
}

// Whether weights within their errors could keep other tokens or draw another one.
bool IsAmbiguous(std::span<const float> logits, const SamplingRow& row) {
  if (row.temperature == 0) return false;
  const Weighed w = Weigh(logits, row, double{row.temperature});
  size_t num_kept = w.ranked.size();
  if (row.top_k > 0) num_kept = std::min(num_kept, static_cast<size_t>(row.top_k));
  if (row.top_p < 1) {
    const double error = 2 * Sum(w.errors, num_kept);
    const double target = double{row.top_p} * Sum(w.weights, num_kept);
    double mass = 0;
    size_t i = 0;
    while (i < num_kept && mass < target) {
      mass += w.weights[i++];
      if (std::fabs(mass - target) <= error) return true;
    }
    num_kept = i;
  }
  for (size_t i = 1; i < num_kept && row.min_p > 0; ++i) {
    const double distance = std::fabs(w.weights[i] - double{row.min_p});
    if (w.errors[i] > 0 && distance <= w.errors[i]) return true;
  }
  while (num_kept > 1 && w.weights[num_kept - 1] < double{row.min_p}) --num_kept;
  std::vector<size_t> order(num_kept);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return w.ranked[a] < w.ranked[b]; });
  const double error = 2 * Sum(w.errors, num_kept);
  const double target = RandomUniform(row.seed, row.position) * Sum(w.weights, num_kept);
  double mass = 0;
  for (const size_t i : order) {
    mass += w.weights[i];
    if (std::fabs(mass - target) <= error) return true;
  }
  return false;
}

// The relative error of a row's sum of weights at temperature 1: the absolute one of its logarithm.
double LogSumError(std::span<const float> logits, const SamplingRow& row) {
  const Weighed w = Weigh(logits, row, 1.0);
  return 1.01 * Sum(w.errors, w.errors.size()) / Sum(w.weights, w.weights.size());
}

// A log-probability may be off by its sum's error and two roundings to f32.
void ExpectLogprob(float expected, float actual, double log_sum_error) {
  EXPECT_NEAR(actual, expected, log_sum_error + 2 * kUnit * std::fabs(double{expected}));
}

std::vector<float> Logits(uint64_t seed, int64_t vocab, bool has_ties) {
  std::vector<float> logits = RandomValues(seed, vocab, 4.0f);
  for (float& logit : logits) {
    if (has_ties) logit = std::round(logit);
  }
  return logits;
}

class SamplingCases {
 public:
  SamplingCases(int64_t vocab, int64_t num_rows) : vocab_(vocab) {
    for (int64_t r = 0; r < num_rows; ++r) {
      const auto seed = static_cast<uint64_t>(100 + r);
      const auto row_logits = Logits(seed, vocab, r % 3 == 0);
      logits_.insert(logits_.end(), row_logits.begin(), row_logits.end());
      std::vector<uint32_t> mask(static_cast<size_t>((vocab + 31) / 32));
      for (size_t i = 0; i < mask.size(); ++i) {
        mask[i] = static_cast<uint32_t>(RandomBits(seed, i));
      }
      mask[0] |= 1;  // at least one token
      masks_.push_back(std::move(mask));
    }
  }

  // Rows with this setting; every other one masked.
  std::vector<SamplingRow> Rows(SamplingRow setting) const {
    std::vector<SamplingRow> rows;
    for (size_t r = 0; r < masks_.size(); ++r) {
      setting.seed = 77;
      setting.position = r;
      setting.allowed = r % 2 == 1 ? masks_[r].data() : nullptr;
      rows.push_back(setting);
    }
    return rows;
  }
  std::span<const float> Row(int64_t r) const {
    return {logits_.data() + r * vocab_, static_cast<size_t>(vocab_)};
  }
  std::vector<SampledToken> Sample(Device& device, std::span<const SamplingRow> rows) const {
    const GuardedMatrix logits(device, std::ssize(masks_), vocab_, logits_);
    const auto sampled = device.Sample(logits.view(), rows);
    ExpectSameBits("logits", vocab_, logits_, logits.Read());
    return sampled;
  }

 private:
  int64_t vocab_;
  std::vector<float> logits_;
  std::vector<std::vector<uint32_t>> masks_;
};

SamplingRow Setting(float temperature, int top_k, float top_p, float min_p, int num_top = -1) {
  SamplingRow row;
  row.temperature = temperature;
  row.top_k = top_k;
  row.top_p = top_p;
  row.min_p = min_p;
  row.num_top_logprobs = num_top;
  return row;
}

const SamplingRow kSettings[] = {
    Setting(0.0f, 0, 1.0f, 0.0f, 0),    Setting(1.0f, 0, 1.0f, 0.0f),
    Setting(0.7f, 0, 1.0f, 0.0f, 5),    Setting(0.7f, 0, 0.9f, 0.0f),
    Setting(1.0f, 40, 1.0f, 0.0f),      Setting(1.3f, 40, 0.8f, 0.05f, 3),
    Setting(2.0f, 0, 0.99f, 0.0f),      Setting(1.0f, 0, 1.0f, 0.1f),
    Setting(1.0f, 1, 1.0f, 0.0f, 1),    Setting(0.01f, 0, 0.5f, 0.0f),
    Setting(1e-30f, 0, 1.0f, 0.0f),     Setting(100.0f, 700, 0.95f, 0.0f),
    Setting(1.0f, 1000000, 1.0f, 1.0f), Setting(0.0f, 3, 0.5f, 0.5f, 70),
};

TEST_P(SamplingTest, DrawsRefsTokens) {
  for (const int64_t vocab : {1, 2, 31, 63, 64, 65, 129, 5003}) {
    const SamplingCases cases(vocab, 24);
    for (const SamplingRow& setting : kSettings) {
      const auto rows = cases.Rows(setting);
      const auto expected = cases.Sample(*ref_, rows);
      const auto actual = cases.Sample(*device_, rows);
      ASSERT_EQ(actual.size(), expected.size());
      int num_ambiguous = 0;
      for (size_t r = 0; r < rows.size(); ++r) {
        SCOPED_TRACE("vocab " + std::to_string(vocab) + ", temperature " +
                     std::to_string(setting.temperature) + ", top_k " +
                     std::to_string(setting.top_k) + ", top_p " + std::to_string(setting.top_p) +
                     ", row " + std::to_string(r));
        const auto logits = cases.Row(static_cast<int64_t>(r));
        if (IsAmbiguous(logits, rows[r])) {
          ++num_ambiguous;
          continue;
        }
        EXPECT_EQ(actual[r].token_id, expected[r].token_id);
        if (setting.num_top_logprobs < 0) continue;
        const double error = LogSumError(logits, rows[r]);
        ExpectLogprob(expected[r].logprob, actual[r].logprob, error);
        ASSERT_EQ(actual[r].top_logprobs.size(), expected[r].top_logprobs.size());
        for (size_t i = 0; i < expected[r].top_logprobs.size(); ++i) {
          const TokenLogprob& top = expected[r].top_logprobs[i];
          EXPECT_EQ(actual[r].top_logprobs[i].token_id, top.token_id);
          ExpectLogprob(top.logprob, actual[r].top_logprobs[i].logprob, error);
        }
      }
      EXPECT_LE(num_ambiguous, 6) << "of 24 rows are ambiguous: vocab " << vocab << ", temperature "
                                  << setting.temperature;
    }
  }
}

TEST_P(SamplingTest, LargeVocabulary) {
  const SamplingCases cases(262144, 2);
  for (const SamplingRow& setting : {kSettings[0], kSettings[5], kSettings[3]}) {
    const auto rows = cases.Rows(setting);
    const auto expected = cases.Sample(*ref_, rows);
    const auto actual = cases.Sample(*device_, rows);
    for (size_t r = 0; r < rows.size(); ++r) {
      if (IsAmbiguous(cases.Row(static_cast<int64_t>(r)), rows[r])) continue;
      EXPECT_EQ(actual[r].token_id, expected[r].token_id);
    }
  }
}

TEST_P(SamplingTest, ARowDoesNotDependOnOthersOrThreads) {
  const int64_t vocab = 777;
  const SamplingCases cases(vocab, 24);
  const auto one_thread = GetParam().Open(1);
  for (SamplingRow setting : kSettings) {
    setting.num_top_logprobs = 4;
    const auto rows = cases.Rows(setting);
    const auto together = cases.Sample(*device_, rows);
    const auto on_one_thread = cases.Sample(*one_thread, rows);
    for (size_t r = 0; r < rows.size(); ++r) {
      const GuardedMatrix logits(*device_, 1, vocab, cases.Row(static_cast<int64_t>(r)));
      const SampledToken alone = device_->Sample(logits.view(), {&rows[r], 1})[0];
      for (const SampledToken& other : {together[r], on_one_thread[r]}) {
        EXPECT_EQ(alone.token_id, other.token_id);
        EXPECT_EQ(alone.logprob, other.logprob);
        ASSERT_EQ(alone.top_logprobs.size(), other.top_logprobs.size());
        for (size_t i = 0; i < alone.top_logprobs.size(); ++i) {
          EXPECT_EQ(alone.top_logprobs[i].token_id, other.top_logprobs[i].token_id);
          EXPECT_EQ(alone.top_logprobs[i].logprob, other.top_logprobs[i].logprob);
        }
      }
    }
  }
}

// Every kept token is drawn about as often as its probability says: 2000 draws of 4 tokens, each
// count within six standard deviations.
TEST_P(SamplingTest, FrequenciesFollowProbabilities) {
  const std::vector<float> logits = {0.0f, std::log(2.0f), -kInf, std::log(5.0f)};
  const GuardedMatrix matrix(*device_, 1, 4, logits);
  int counts[4] = {};
  const int num_draws = 2000;
  for (int i = 0; i < num_draws; ++i) {
    SamplingRow row = Setting(1.0f, 0, 1.0f, 0.0f);
    row.seed = 5;
    row.position = static_cast<uint64_t>(i);
    const auto sampled = device_->Sample(matrix.view(), {&row, 1});
    ++counts[sampled[0].token_id];
  }
  const double probabilities[] = {1 / 8.0, 2 / 8.0, 0, 5 / 8.0};
  for (int token = 0; token < 4; ++token) {
    const double p = probabilities[token];
    EXPECT_NEAR(counts[token], num_draws * p, 6 * std::sqrt(num_draws * p * (1 - p)));
  }
}

TEST_P(SamplingTest, LogprobsAgreeWithRef) {
  for (const int64_t vocab : {1, 2, 63, 65, 1000, 49152}) {
    constexpr int64_t kNumRows = 3;
    std::vector<float> values = RandomValues(9, kNumRows * vocab, 8.0f);
    std::vector<Device::LogprobQuery> queries;
    for (int32_t i = 0; i < 40; ++i) {
      queries.push_back({i % 2 == 0 ? 2 : 0, static_cast<int32_t>((i * 7919) % vocab)});
    }
    const GuardedMatrix on_ref(*ref_, kNumRows, vocab, values);
    const GuardedMatrix on_device(*device_, kNumRows, vocab, values);
    const auto expected = ref_->Logprobs(on_ref.view(), queries);
    const auto actual = device_->Logprobs(on_device.view(), queries);
    ASSERT_EQ(actual.size(), expected.size());
    double errors[kNumRows];
    for (int64_t row = 0; row < kNumRows; ++row) {
      errors[row] = LogSumError({values.data() + row * vocab, static_cast<size_t>(vocab)}, {});
    }
    for (size_t i = 0; i < queries.size(); ++i) {
      ExpectLogprob(expected[i], actual[i], errors[queries[i].row]);
    }
  }
}

TEST_P(SamplingTest, BadLogitsAreErrors) {
  struct BadCase {
    std::vector<float> logits;
    uint32_t allowed;
    ErrorCode code;
  };
  const BadCase cases[] = {
      {{1, kNaN, 2}, 7, ErrorCode::kCorrupt},       {{1, kInf, 2}, 7, ErrorCode::kCorrupt},
      {{1, kNaN, 2}, 4, ErrorCode::kCorrupt},       {{-kInf, -kInf, -kInf}, 7, ErrorCode::kInvalid},
      {{1, 2, 3}, 0, ErrorCode::kInvalid},          {{-kInf, 2, 3}, 1, ErrorCode::kInvalid},
      {{1, 2, 3}, 0xfffffff8, ErrorCode::kInvalid},  // bits beyond the vocabulary mean nothing
  };
  for (const BadCase& bad : cases) {
    for (const float temperature : {0.0f, 1.0f}) {
      const GuardedMatrix logits(*device_, 1, 3, bad.logits);
      SamplingRow row = Setting(temperature, 0, 0.9f, 0.0f);
      row.allowed = &bad.allowed;
      try {
        const auto sampled = device_->Sample(logits.view(), {&row, 1});
        ADD_FAILURE() << "drew " << sampled[0].token_id;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), bad.code) << error.message();
      }
    }
  }
}

}  // namespace
}  // namespace retort::conformance
