#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "retort/backend/rope.h"
#include "tests/conformance/ops/subject_test.h"

// RopeAndStoreKv, Attend and CopyKvPage. The layout of a page is a backend's own, so what was
// stored is seen through attention.
namespace retort::conformance {
namespace {

struct Shapes {
  int num_heads;
  int num_kv_heads;
  int head_dim;
  Format format;
  int window = 0;
};

// A few sequences with their whole history: every token of every sequence has a query.
class AttentionCase : public OpCase {
 public:
  AttentionCase(Shapes shapes, std::vector<int32_t> lengths, RopeSpec rope, float score_scale = 1)
      : shapes_(shapes), lengths_(std::move(lengths)), rope_(std::move(rope)) {
    begin_.push_back(0);
    for (const int32_t length : lengths_) begin_.push_back(begin_.back() + length);
    qkv_ = RandomValues(11, rows() * qkv_cols());
    scale_ = score_scale / std::sqrt(static_cast<float>(shapes.head_dim));
    pages_per_sequence_ =
        (*std::max_element(lengths_.begin(), lengths_.end()) + kPageTokens - 1) / kPageTokens;
  }

  std::string name() const override {
    std::string name = "Attend H " + std::to_string(shapes_.num_heads) + " G " +
                       std::to_string(shapes_.num_kv_heads) + " D " +
                       std::to_string(shapes_.head_dim) + " " +
                       std::string(Info(shapes_.format).name) + " window " +
                       std::to_string(shapes_.window) + " lengths";
    for (const int32_t length : lengths_) name += " " + std::to_string(length);
    return name;
  }
  int64_t rows() const override { return begin_.back(); }
  int64_t cols() const override { return int64_t{shapes_.num_heads} * shapes_.head_dim; }
  int64_t qkv_cols() const { return cols() + int64_t{2} * shapes_.num_kv_heads * shapes_.head_dim; }
  double bytes() const override {
    const double value_bytes = shapes_.format == Format::kF32 ? 4 : 2;
    return static_cast<double>(rows()) * static_cast<double>(shapes_.num_kv_heads) *
               shapes_.head_dim * 2 * value_bytes +
           8.0 * static_cast<double>(rows() * cols());
  }
  double flops() const override {
    double pairs = 0;
    for (const int32_t length : lengths_) pairs += 0.5 * length * (length + 1.0);
    return 4.0 * pairs * static_cast<double>(cols());
  }
  std::vector<float>& qkv() { return qkv_; }

  std::vector<float> Run(Device& device) const override { return RunSteps(device, 1 << 20); }

  // All sequences side by side, at most `chunk` tokens of each in a step, so that long ones go on
  // alone. `first_page` moves the pages. Layer 1 of 2, so that a wrong layer stride shows.
  std::vector<float> RunSteps(Device& device, int32_t chunk, int32_t first_page = 0) const {
    const auto num_sequences = static_cast<int64_t>(lengths_.size());
    KvSpec spec{2, shapes_.num_kv_heads, shapes_.head_dim,
                static_cast<int>(num_sequences) * pages_per_sequence_ + first_page, shapes_.format};
    const auto cache = device.CreateKvCache(spec);
    const auto batch = device.CreateBatch(rows(), num_sequences, pages_per_sequence_);
    std::vector<float> result(static_cast<size_t>(rows() * cols()));
    for (int32_t done = 0; done < *std::max_element(lengths_.begin(), lengths_.end());
         done += chunk) {
      std::vector<int64_t> source;  // row of the case for each row of the step
      const BatchPlan plan = Plan(done, chunk, first_page, &source);
      device.UploadBatch(plan, *batch);
      std::vector<float> step;
      for (const int64_t row : source) {
        step.insert(step.end(), qkv_.begin() + row * qkv_cols(),
                    qkv_.begin() + (row + 1) * qkv_cols());
      }
      const auto step_rows = static_cast<int64_t>(source.size());
      const GuardedMatrix qkv(device, step_rows, qkv_cols(), step);
      const GuardedMatrix out(device, step_rows, cols());
      device.RopeAndStoreKv(qkv.view(), shapes_.num_heads, rope_, *batch, *cache, 1);
      const AttentionSpec attention{shapes_.num_heads, scale_, shapes_.window};
      device.Attend(qkv.view().Cols(0, cols()), attention, *batch, *cache, 1, out.view());
      qkv.Read();
      const std::vector<float> values = out.Read();
      for (int64_t i = 0; i < step_rows; ++i) {
        std::copy_n(values.begin() + i * cols(), cols(), result.begin() + source[i] * cols());
      }
    }
    return result;
  }

  // With |δ_j| the error of score j (see ScoreError) and θ the relative error of a weight, a
  // softmax average of values v_j with weights p_j moves by at most Σ p_j |v_j| · (e^{2(δ+θ)} − 1).
  // θ: the difference to the largest score rounds once (u·|s_j − m|), the exponential adds 2^-22,
  // and each rescaling at a new largest score, at most one a block, again u·|m − m'| + 2^-22 + u;
  // the |m − m'| add up to at most the range of the scores. Sums of n terms over b blocks:
  // γ_{n+2b+2} each in numerator and denominator. Over a cache of bf16 a device may multiply in
  // bf16: then queries (in ScoreError) and weights round once more, and the exponential need not be
  // better than 2^-18. Or it may keep 16-bit integers with a scale per token and head, which are
  // off by half a step each (see HalfStep), where the judge's bf16 rounds; and multiply integer
  // weights, off by half of 2^-13.99 of the largest of their page, times the page's largest value:
  // 2^-10 of both for its 32 keys.
  std::vector<double> Bounds() const override {
    std::vector<double> bounds;
    for (size_t s = 0; s < lengths_.size(); ++s) {
      for (int32_t t = 0; t < lengths_[s]; ++t) {
        for (int h = 0; h < shapes_.num_heads; ++h) AppendBounds(s, t, h, &bounds);
      }
    }
    return bounds;
  }

 private:
  BatchPlan Plan(int32_t done, int32_t chunk, int32_t first_page,
                 std::vector<int64_t>* source) const {
    BatchPlan plan;
    plan.row_begin = {0};
    plan.page_stride = pages_per_sequence_;
    const auto num_pages = static_cast<int32_t>(lengths_.size()) * pages_per_sequence_;
    for (size_t s = 0; s < lengths_.size(); ++s) {
      for (int32_t t = done; t < std::min(lengths_[s], done + chunk); ++t) {
        source->push_back(begin_[s] + t);
        plan.token_ids.push_back(0);
        plan.positions.push_back(t);
      }
      plan.row_begin.push_back(static_cast<int32_t>(plan.token_ids.size()));
      for (int32_t i = 0; i < pages_per_sequence_; ++i) {
        // Pages lie scattered, last first.
        const auto page = static_cast<int32_t>(s) + i * static_cast<int32_t>(lengths_.size());
        plan.page_table.push_back(first_page + num_pages - 1 - page);
      }
    }
    return plan;
  }

  const float* Head(size_t s, int32_t t, int64_t head) const {
    return qkv_.data() + (begin_[s] + t) * qkv_cols() + head * shapes_.head_dim;
  }

  void AppendBounds(size_t s, int32_t t, int h, std::vector<double>* bounds) const {
    const int g = h / (shapes_.num_heads / shapes_.num_kv_heads);
    const int32_t begin = shapes_.window > 0 ? std::max(0, t + 1 - shapes_.window) : 0;
    std::vector<double> scores;
    double delta = 0;
    for (int32_t j = begin; j <= t; ++j) {
      const auto [score, error] = ScoreError(s, t, h, j, g);
      scores.push_back(score);
      delta = std::max(delta, error);
    }
    const double largest = *std::max_element(scores.begin(), scores.end());
    const double range = largest - *std::min_element(scores.begin(), scores.end());
    const auto n = static_cast<double>(scores.size());
    const double blocks = std::floor(n / kPageTokens) + 2;
    const double exponential = IsRounded() ? 0x1p-18 : 0x1p-22;
    const double theta = 2 * kUnit * (range + delta) + (blocks + 1) * (exponential + kUnit) +
                         (IsRounded() ? 0x1p-8 : 0);
    const double relative = std::expm1(2 * (delta + theta)) + 2 * Gamma(n + 2 * blocks + 2);
    double sum = 0;
    for (double& score : scores) sum += score = std::exp(score - largest);
    std::vector<std::vector<double>> values;
    std::vector<double> half_steps;
    for (int32_t j = begin; j <= t; ++j) {
      values.push_back(StoredValue(s, j, g));
      half_steps.push_back(HalfStep(values.back()));
    }
    const double page_products = PageProducts(begin, scores, sum, values);
    for (int d = 0; d < shapes_.head_dim; ++d) {
      double weighted = 0;
      double off = 0;
      for (size_t j = 0; j < values.size(); ++j) {
        const double value = std::fabs(values[j][d]);
        const double weight = scores[j] / sum;
        weighted += weight * value * (1 + Rounding());
        if (IsBf16()) off += weight * (value * Rounding() + half_steps[j]);
      }
      if (IsRounded()) off += 0x1p-10 * page_products;
      bounds->push_back(weighted * relative + off * (1 + relative) +
                        std::numeric_limits<float>::min());
    }
  }

  // One token's and head's, rounded to integers of 8 bits if the cache is in these: the judge
  // rounds bf16 and f16 where errors are counted.
  std::vector<double> StoredValue(size_t s, int32_t t, int g) const {
    const float* from = Head(s, t, shapes_.num_heads + shapes_.num_kv_heads + g);
    std::vector<double> values(from, from + shapes_.head_dim);
    RoundToInt8(&values);
    return values;
  }

  void RoundToInt8(std::vector<double>* values) const {
    if (!IsInt8()) return;
    const double step = Largest(*values) / 127;
    for (double& value : *values) value = step == 0 ? 0 : std::nearbyint(value / step) * step;
  }

  // Half of what codes of up to 4095 differ by.
  static double HalfStep(const std::vector<double>& values) { return Largest(values) / 4095 / 2; }

  static double Largest(const std::vector<double>& values) {
    double largest = 0;
    for (const double value : values) largest = std::max(largest, std::fabs(value));
    return largest;
  }

  // How far a rotated key in integers of 8 bits may be from the judge's: its largest value, which
  // gives the scale, is off by what rotation is off, and a code may round to its neighbour.
  double Int8Off(const std::vector<double>& errors, const std::vector<double>& values) const {
    const double error = *std::max_element(errors.begin(), errors.end());
    return error == 0 ? 0 : Largest(values) / 127 + 2 * error;
  }

  // Over the pages of keys from `begin` on: the largest weight times the largest value.
  static double PageProducts(int32_t begin, const std::vector<double>& weights, double sum,
                             const std::vector<std::vector<double>>& values) {
    double products = 0;
    for (size_t j = 0; j < values.size();) {
      double weight = 0;
      double value = 0;
      const auto page_of = [=](size_t at) { return (begin + at) / kPageTokens; };
      for (const size_t first = j; j < values.size() && page_of(j) == page_of(first); ++j) {
        weight = std::max(weight, weights[j] / sum);
        value = std::max(value, Largest(values[j]));
      }
      products += weight * value;
    }
    return products;
  }

  bool IsBf16() const { return shapes_.format == Format::kBF16; }
  bool IsInt8() const { return shapes_.format == Format::kI8; }
  // What is multiplied may be rounded to bf16 or to integers of as many bits.
  bool IsRounded() const { return IsBf16() || IsInt8(); }

  // The rounding of a stored value, relative: half a unit in the last place of the format.
  double Rounding() const {
    return shapes_.format == Format::kBF16 ? 0x1p-8 : shapes_.format == Format::kF16 ? 0x1p-11 : 0;
  }

  // A score and a bound of its error: scaling q and summing D products, γ_{D+2}·Σ|q||k|·scale. With
  // a rotation each component of q and k is a sum of two products of a cosine or sine that is off
  // by at most a unit in the last place and the scale's rounding: at most 6u(|x| + |y|). A key that
  // is then stored in a short format may round to its other neighbour: twice the format's rounding.
  // One that is kept in integers is off by half a step of these, and the judge's by its own
  // rounding.
  std::pair<double, double> ScoreError(size_t s, int32_t t, int h, int32_t j, int g) const {
    std::vector<double> query;
    std::vector<double> query_error;
    std::vector<double> key;
    std::vector<double> key_error;
    Rotated(Head(s, t, h), t, &query, &query_error);
    Rotated(Head(s, j, shapes_.num_heads + g), j, &key, &key_error);
    RoundToInt8(&key);
    const double key_half_step = HalfStep(key);
    const double query_half_step = HalfStep(query);
    double score = 0;
    double magnitude = 0;
    double error = 0;
    for (int d = 0; d < shapes_.head_dim; ++d) {
      const double is_rotated = key_error[d] > 0 ? 2 : 0;
      double off = key_error[d] + is_rotated * Rounding() * std::fabs(key[d]);
      if (IsBf16()) {
        off = std::max(off, key_error[d] + Rounding() * std::fabs(key[d]) + key_half_step);
      } else if (IsInt8()) {
        off += Int8Off(key_error, key);
      }
      const double stored = std::fabs(key[d]) * (1 + Rounding()) + off;
      const double query_off =
          query_error[d] +
          (IsRounded() ? std::max(0x1p-8 * std::fabs(query[d]), query_half_step) : 0);
      score += query[d] * key[d];
      magnitude += std::fabs(query[d]) * stored;
      error += query_off * stored + (std::fabs(query[d]) + query_error[d]) * off;
    }
    return {score * scale_, scale_ * (magnitude * Gamma(shapes_.head_dim + 3) + error)};
  }

  void Rotated(const float* head, int32_t position, std::vector<double>* values,
               std::vector<double>* errors) const {
    values->assign(head, head + shapes_.head_dim);
    errors->assign(static_cast<size_t>(shapes_.head_dim), 0.0);
    const size_t half = rope_.inverse_frequencies.size();
    std::vector<float> frequencies(half);
    DynamicInverseFrequencies(rope_, position + 1, frequencies);
    for (size_t i = 0; i < half; ++i) {
      const size_t first = rope_.interleaved ? 2 * i : i;
      const size_t second = rope_.interleaved ? 2 * i + 1 : i + half;
      const double angle = double{static_cast<float>(position) * frequencies[i]};
      const double cosine = std::cos(angle) * double{rope_.scale};
      const double sine = std::sin(angle) * double{rope_.scale};
      const double x = head[first];
      const double y = head[second];
      (*values)[first] = x * cosine - y * sine;
      (*values)[second] = y * cosine + x * sine;
      (*errors)[first] = (*errors)[second] =
          6 * kUnit * std::fabs(double{rope_.scale}) * (std::fabs(x) + std::fabs(y));
    }
  }

  Shapes shapes_;
  std::vector<int32_t> lengths_;
  RopeSpec rope_;
  float scale_ = 1;
  int32_t pages_per_sequence_ = 0;
  std::vector<int64_t> begin_;
  std::vector<float> qkv_;
};

RopeSpec Rope(int rotary_dim, bool interleaved, float scale = 1.0f) {
  RopeSpec rope;
  for (int i = 0; i < rotary_dim / 2; ++i) {
    rope.inverse_frequencies.push_back(
        static_cast<float>(std::pow(10000.0, -2.0 * i / rotary_dim)));
  }
  rope.interleaved = interleaved;
  rope.scale = scale;
  return rope;
}

class AttentionTest : public SubjectTest {};
RETORT_ON_EVERY_DEVICE(AttentionTest);

// Lengths around a page and around the tiles, group sizes of MHA, GQA and MQA, and head dims that
// fill vectors and that do not.
TEST_P(AttentionTest, AgreesWithRef) {
  const Shapes shapes[] = {
      {9, 3, 64, Format::kBF16},    {8, 4, 8, Format::kF32},      {4, 4, 80, Format::kF16},
      {5, 1, 32, Format::kBF16},    {2, 1, 128, Format::kF32},    {40, 1, 16, Format::kBF16},
      {3, 3, 2, Format::kF16},      {2, 2, 256, Format::kBF16},   {14, 2, 64, Format::kF16},
      {6, 2, 96, Format::kBF16, 5}, {4, 2, 64, Format::kF32, 32}, {4, 2, 64, Format::kBF16, 33},
      {9, 3, 64, Format::kI8},      {8, 4, 18, Format::kI8},      {4, 2, 128, Format::kI8, 40},
      {2, 1, 160, Format::kI8},
  };
  for (const Shapes& shape : shapes) {
    Judge(AttentionCase(shape, {1, 33, 2, 70}, {}));
  }
  // Scores far apart: weights underflow, the largest score moves.
  Judge(AttentionCase({4, 2, 64, Format::kF32}, {100}, {}, 30.0f));
}

TEST_P(AttentionTest, AgreesWithRefOverManyPages) {
  // Beyond one segment of any split of long sequences.
  for (const int dim : {16, 32}) {
    for (const Format format : {Format::kBF16, Format::kI8}) {
      Judge(AttentionCase({2, 1, dim, format}, {1100}, {}));
    }
  }
}

TEST_P(AttentionTest, RotationAgreesWithRef) {
  for (const bool interleaved : {false, true}) {
    Judge(AttentionCase({9, 3, 64, Format::kF32}, {1, 70, 33}, Rope(64, interleaved)));
    Judge(AttentionCase({4, 2, 80, Format::kF32}, {40}, Rope(32, interleaved, 1.25f)));
    Judge(AttentionCase({4, 4, 8, Format::kF32}, {40}, Rope(8, interleaved)));
    Judge(AttentionCase({3, 1, 18, Format::kBF16}, {40}, Rope(18, interleaved)));
    RopeSpec dynamic = Rope(64, interleaved);
    dynamic.dynamic_context_tokens = 20;
    dynamic.dynamic_factor = 2;
    dynamic.dynamic_theta = 10000;
    Judge(AttentionCase({4, 2, 64, Format::kF32}, {50}, dynamic));
  }
}

// The rotated queries themselves, in the matrix; keys and values beside them stay as they were.
TEST_P(AttentionTest, RotatesQueriesInPlaceAndNothingElse) {
  for (const bool interleaved : {false, true}) {
    const RopeSpec rope = Rope(24, interleaved);
    const int heads = 3, kv_heads = 1, dim = 32;
    const int64_t cols = (heads + 2 * kv_heads) * dim;
    const auto values = RandomValues(21, 5 * cols);
    BatchPlan plan;
    plan.token_ids = {0, 0, 0, 0, 0};
    plan.positions = {0, 1, 9, 10, 63};
    plan.row_begin = {0, 2, 2, 5};
    plan.page_table = {0, -1, -1, -1, 2, 1};
    plan.page_stride = 2;
    std::vector<float> results[2];
    Device* devices[] = {ref_.get(), device_.get()};
    for (int i = 0; i < 2; ++i) {
      const auto cache = devices[i]->CreateKvCache({1, kv_heads, dim, 3, Format::kF32});
      const auto batch = devices[i]->CreateBatch(5, 3, 2);
      devices[i]->UploadBatch(plan, *batch);
      const GuardedMatrix qkv(*devices[i], 5, cols, values);
      devices[i]->RopeAndStoreKv(qkv.view(), heads, rope, *batch, *cache, 0);
      results[i] = qkv.Read();
    }
    for (int64_t i = 0; i < 5 * cols; ++i) {
      const int64_t d = i % cols % dim;
      if (i % cols >= heads * dim || d >= 24) {
        EXPECT_EQ(results[1][i], values[i]) << "row " << i / cols << ", column " << i % cols;
        continue;
      }
      const int64_t partner = interleaved ? (d ^ 1) - d : d < 12 ? 12 : -12;
      const double bound = 6 * kUnit * (std::fabs(values[i]) + std::fabs(values[i + partner]));
      EXPECT_NEAR(results[1][i], results[0][i], bound)
          << "row " << i / cols << ", column " << i % cols;
    }
  }
}

// The same bits however prompts are cut into steps, whoever is beside them, wherever pages lie and
// however many threads work.
TEST_P(AttentionTest, DoesNotDependOnChunksNeighboursOrThreads) {
  const Shapes shapes[] = {{9, 3, 64, Format::kBF16},     {4, 2, 64, Format::kF32},
                           {40, 1, 16, Format::kF16},     {4, 4, 80, Format::kBF16, 40},
                           {14, 2, 32, Format::kBF16, 7}, {2, 2, 8, Format::kF32},
                           {9, 3, 64, Format::kI8},       {5, 1, 24, Format::kI8, 50}};
  for (const Shapes& shape : shapes) {
    const std::vector<int32_t> lengths = {3, 100, 1, 37};
    const AttentionCase op(shape, lengths, Rope(shape.head_dim, true));
    const auto whole = op.Run(*device_);
    for (const int32_t chunk : {1, 5, 16, 33}) {
      ExpectSameBits(op.name() + " in chunks of " + std::to_string(chunk), op.cols(), whole,
                     op.RunSteps(*device_, chunk, chunk % 3));
    }
    const auto one_thread = GetParam().Open(1);
    ExpectSameBits(op.name() + " on one thread", op.cols(), whole, op.Run(*one_thread));
  }
}

TEST_P(AttentionTest, LongWindowsDoNotDependOnChunks) {
  // Rows of one tile whose windows begin in different segments.
  for (const int dim : {16, 32}) {
    const AttentionCase op({2, 1, dim, Format::kBF16, 1030}, {2090}, {});
    const auto whole = op.Run(*device_);
    for (const int32_t chunk : {13, 1024}) {
      ExpectSameBits(op.name() + " in chunks of " + std::to_string(chunk), op.cols(), whole,
                     op.RunSteps(*device_, chunk));
    }
  }
}

// NaN and infinity in one token's value reach the rows that see it and no other. Where a token's
// values share a scale, all of them are lost.
TEST_P(AttentionTest, NaNReachesOnlyTheRowsThatSeeIt) {
  for (const Format format : {Format::kF32, Format::kBF16, Format::kF16, Format::kI8}) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      for (const int dim : {16, 32}) {
        AttentionCase op({2, 1, dim, format}, {50, 40}, {});
        const auto clean = op.Run(*device_);
        const int64_t bad_row = 41;
        op.qkv()[bad_row * op.qkv_cols() + 3 * dim + 3] = bad;  // value 3 of token 41
        const auto poisoned = op.Run(*device_);
        const bool may_share_scale =
            format == Format::kI8 || (format == Format::kBF16 && dim == 32);
        for (int64_t i = 0; i < op.rows() * op.cols(); ++i) {
          const int64_t row = i / op.cols();
          const bool sees = row >= bad_row && row < 50;
          if (sees && i % dim == 3) {
            EXPECT_FALSE(std::isfinite(poisoned[i])) << "row " << row;
          } else if (!sees || !may_share_scale) {
            EXPECT_EQ(poisoned[i], clean[i]) << "row " << row << ", column " << i % op.cols();
          }
        }
      }
    }
  }
}

// A sequence that goes on from a copied page gets the bits of one that never moved.
TEST_P(AttentionTest, CopiedPageHoldsTheSameTokens) {
  struct Kind {
    Format format;
    int dim;
  };
  for (const auto& [format, dim] :
       {Kind{Format::kF32, 24}, Kind{Format::kBF16, 24}, Kind{Format::kBF16, 32},
        Kind{Format::kF16, 24}, Kind{Format::kI8, 24}, Kind{Format::kI8, 64}}) {
    const auto values = RandomValues(31, 20 * 3 * dim);
    const auto cache = device_->CreateKvCache({2, 1, dim, 3, format});
    const auto batch = device_->CreateBatch(20, 1, 1);
    const auto run = [&](int32_t begin, int32_t end, int32_t page, int layer) {
      BatchPlan plan;
      for (int32_t t = begin; t < end; ++t) plan.positions.push_back(t);
      plan.token_ids.assign(plan.positions.size(), 0);
      plan.row_begin = {0, end - begin};
      plan.page_table = {page};
      plan.page_stride = 1;
      device_->UploadBatch(plan, *batch);
      const std::vector<float> rows(values.begin() + begin * 3 * dim,
                                    values.begin() + end * 3 * dim);
      const GuardedMatrix qkv(*device_, end - begin, 3 * dim, rows);
      const GuardedMatrix out(*device_, end - begin, dim);
      device_->RopeAndStoreKv(qkv.view(), 1, Rope(dim, false), *batch, *cache, layer);
      device_->Attend(qkv.view().Cols(0, dim), {1, 0.2f, 0}, *batch, *cache, layer, out.view());
      return out.Read();
    };
    for (const int layer : {0, 1}) run(0, 13, 0, layer);
    // Before the copy: one that goes the other way would change both.
    const std::vector<float> expected[] = {run(13, 20, 0, 0), run(13, 20, 0, 1)};
    device_->CopyKvPage(*cache, 0, 2, 13);
    for (const int layer : {0, 1}) {
      ExpectSameBits("copied page", dim, expected[layer], run(13, 20, 2, layer));
      ExpectSameBits("page that was copied", dim, expected[layer], run(13, 20, 0, layer));
    }
  }
}

}  // namespace
}  // namespace retort::conformance
