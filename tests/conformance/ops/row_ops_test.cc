#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/conformance/ops/subject_test.h"

// Operations that treat each row alone: RmsNorm, GatedActivation, Embed, GatherOutputRows,
// AccumulateRows.
namespace retort::conformance {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Widths around every vector and block size, and models' own.
const int64_t kWidths[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 576, 1000};

class RowOpsTest : public SubjectTest {};
RETORT_ON_EVERY_DEVICE(RowOpsTest);

class RmsNormCase : public OpCase {
 public:
  RmsNormCase(int64_t rows, int64_t cols, float scale)
      : rows_(rows),
        cols_(cols),
        x_(RandomValues(1, rows * cols, scale)),
        weight_(RandomValues(2, cols)) {}

  std::string name() const override {
    return "RmsNorm [" + std::to_string(rows_) + ", " + std::to_string(cols_) + "]";
  }
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  double bytes() const override { return 4.0 * static_cast<double>(2 * rows_ * cols_ + cols_); }
  double flops() const override { return 4.0 * static_cast<double>(rows_ * cols_); }

  std::vector<float> Run(Device& device) const override { return RunRows(device, 0, rows_); }

  std::vector<float> RunRows(Device& device, int64_t begin, int64_t end) const {
    const std::span<const float> values(x_.data() + begin * cols_,
                                        static_cast<size_t>((end - begin) * cols_));
    const GuardedMatrix x(device, end - begin, cols_, values);
    const GuardedMatrix weight(device, 1, cols_, weight_);
    const GuardedMatrix out(device, end - begin, cols_);
    device.RmsNorm(x.view(), weight.view(), kEpsilon, out.view());
    const std::vector<float> result = out.Read();
    device.RmsNorm(x.view(), weight.view(), kEpsilon, x.view());
    ExpectSameBits("in place", cols_, result, x.Read());
    return result;
  }

  // The mean of squares has a relative error of γ_{K+2} (no cancellation), its root half of that;
  // root, division and two products round once each. Epsilon is an f32 in both.
  std::vector<double> Bounds() const override {
    std::vector<double> bounds;
    for (int64_t row = 0; row < rows_; ++row) {
      double sum = 0;
      for (int64_t i = 0; i < cols_; ++i) sum += std::pow(double{x_[row * cols_ + i]}, 2);
      const double root = std::sqrt(sum / static_cast<double>(cols_) + double{kEpsilon});
      for (int64_t i = 0; i < cols_; ++i) {
        const double exact = double{x_[row * cols_ + i]} / root * double{weight_[i]};
        bounds.push_back(std::fabs(exact) * (Gamma(static_cast<double>(cols_) + 3) / 2 + Gamma(4)));
      }
    }
    return bounds;
  }

 private:
  static constexpr float kEpsilon = 1e-5f;
  int64_t rows_;
  int64_t cols_;
  std::vector<float> x_;
  std::vector<float> weight_;
};

TEST_P(RowOpsTest, RmsNorm) {
  for (const int64_t cols : kWidths) Judge(RmsNormCase(3, cols, 1.0f));
  Judge(RmsNormCase(70, 576, 1e-3f));
  Judge(RmsNormCase(1, 4096, 1e3f));
}

TEST_P(RowOpsTest, RmsNormOfARowDoesNotDependOnOthers) {
  const RmsNormCase op(70, 130, 1.0f);
  const auto together = op.Run(*device_);
  std::vector<float> apart;
  for (int64_t row = 0; row < op.rows(); ++row) {
    for (const float value : op.RunRows(*device_, row, row + 1)) apart.push_back(value);
  }
  ExpectSameBits(op.name(), op.cols(), together, apart);
}

class GatedActivationCase : public OpCase {
 public:
  GatedActivationCase(Activation activation, int64_t rows, int64_t cols)
      : activation_(activation), rows_(rows), cols_(cols) {
    gate_up_ = RandomValues(3, rows * 2 * cols, 3.0f);
    // Where the functions bend, saturate, overflow and are not numbers.
    const float special[] = {0.0f, -0.0f,  1e-30f,  -1e-30f, 20.0f, -20.0f, 60.0f, -60.0f,
                             95.f, -95.0f, -300.0f, 1e9f,    kInf,  kNaN,   -1.0f, -5.0f};
    for (size_t i = 0; i < std::size(special) && static_cast<int64_t>(i) < cols; ++i) {
      gate_up_[i] = special[i];
    }
  }

  std::string name() const override {
    return "GatedActivation " + std::to_string(static_cast<int>(activation_)) + " [" +
           std::to_string(rows_) + ", " + std::to_string(cols_) + "]";
  }
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  double bytes() const override { return 12.0 * static_cast<double>(rows_ * cols_); }
  double flops() const override { return 20.0 * static_cast<double>(rows_ * cols_); }

  std::vector<float> Run(Device& device) const override { return RunRows(device, 0, rows_); }
  std::vector<float> RunRows(Device& device, int64_t begin, int64_t end) const {
    const std::span<const float> values(gate_up_.data() + begin * 2 * cols_,
                                        static_cast<size_t>((end - begin) * 2 * cols_));
    const GuardedMatrix gate_up(device, end - begin, 2 * cols_, values);
    const GuardedMatrix out(device, end - begin, cols_);
    device.GatedActivation(gate_up.view(), activation_, out.view());
    return out.Read();
  }

  // x·σ(z)·up. The exponential's relative error is 2^-22 for its own argument, and an argument that
  // is off by a relative δ changes it by |z|·δ: z is exact for silu and takes six roundings for
  // tanh. What is below 2^-126 may be 0. The erf is within 1.5e-7 absolute (its formula's own
  // bound), and its argument, a few roundings off, adds |z|·e^(−z²)·… < γ_4; that bound is absolute
  // in Φ.
  std::vector<double> Bounds() const override {
    std::vector<double> bounds;
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t i = 0; i < cols_; ++i) {
        const double x = gate_up_[row * 2 * cols_ + i];
        const double up = gate_up_[row * 2 * cols_ + cols_ + i];
        const double z = 2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
        double bound = std::fabs(x * up);
        if (activation_ == Activation::kGeluErf) {
          bound *= 1.5e-7 + 0x1p-22 + Gamma(12);
        } else if (activation_ == Activation::kGeluTanh) {
          bound *= (0x1p-22 + Gamma(8) + std::fabs(z) * Gamma(6)) / (1 + std::exp(-z)) + 0x1p-125;
        } else {
          bound *= (0x1p-22 + Gamma(8)) / (1 + std::exp(-x)) + 0x1p-125;
        }
        bounds.push_back(std::isfinite(bound) ? bound : 0);
      }
    }
    return bounds;
  }

 private:
  Activation activation_;
  int64_t rows_;
  int64_t cols_;
  std::vector<float> gate_up_;
};

const Activation kActivations[] = {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf};

TEST_P(RowOpsTest, GatedActivation) {
  for (const Activation activation : kActivations) {
    for (const int64_t cols : kWidths) Judge(GatedActivationCase(activation, 3, cols));
    Judge(GatedActivationCase(activation, 70, 1536));
  }
}

TEST_P(RowOpsTest, GatedActivationOfARowDoesNotDependOnOthers) {
  for (const Activation activation : kActivations) {
    const GatedActivationCase op(activation, 70, 333);
    const auto together = op.Run(*device_);
    std::vector<float> apart;
    for (int64_t row = 0; row < op.rows(); ++row) {
      for (const float value : op.RunRows(*device_, row, row + 1)) apart.push_back(value);
    }
    ExpectSameBits(op.name(), op.cols(), together, apart);
  }
}

// Rows of one sequence without pages in use beyond the first.
BatchPlan PlanOf(std::vector<int32_t> token_ids, std::vector<int32_t> output_rows) {
  BatchPlan plan;
  plan.token_ids = std::move(token_ids);
  plan.positions.assign(plan.token_ids.size(), 0);
  plan.row_begin = {0, static_cast<int32_t>(plan.token_ids.size())};
  plan.page_table = {0};
  plan.page_stride = 1;
  plan.output_rows = std::move(output_rows);
  return plan;
}

// Each value is decoded exactly and rounded once, by the scale: nothing may differ.
TEST_P(RowOpsTest, EmbedIsExact) {
  const Format formats[] = {Format::kF32,  Format::kF16,  Format::kBF16, Format::kQ8_0,
                            Format::kQ4_0, Format::kQ4_1, Format::kQ5_0, Format::kQ5_1};
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 70; ++i) tokens.push_back((i * 7) % 23);
  const BatchPlan plan = PlanOf(tokens, {});
  for (const Format format : formats) {
    const OwnedTensor table("table", format, Shape({23, 96}), RandomValues(4, 23 * 96));
    for (const float scale : {1.0f, 24.0f, 0.3f}) {
      std::vector<float> results[2];
      Device* devices[] = {ref_.get(), device_.get()};
      for (int i = 0; i < 2; ++i) {
        const auto embedding = devices[i]->PackEmbedding(table.view());
        const auto batch = devices[i]->CreateBatch(70, 1, 1);
        devices[i]->UploadBatch(plan, *batch);
        const GuardedMatrix out(*devices[i], 70, 96);
        devices[i]->Embed(*embedding, *batch, scale, out.view());
        results[i] = out.Read();
      }
      ExpectSameBits(std::string(Info(format).name), 96, results[0], results[1]);
    }
  }
}

TEST_P(RowOpsTest, GatherOutputRowsCopies) {
  const int64_t cols = 37;
  const auto values = RandomValues(5, 9 * cols);
  const std::vector<int32_t> wanted = {0, 3, 4, 8};
  const auto batch = device_->CreateBatch(9, 1, 1);
  device_->UploadBatch(PlanOf(std::vector<int32_t>(9, 0), wanted), *batch);
  const GuardedMatrix x(*device_, 9, cols, values);
  const GuardedMatrix out(*device_, 4, cols);
  device_->GatherOutputRows(x.view(), *batch, out.view());
  std::vector<float> expected;
  for (const int32_t row : wanted) {
    expected.insert(expected.end(), values.begin() + row * cols, values.begin() + (row + 1) * cols);
  }
  ExpectSameBits("GatherOutputRows", cols, expected, out.Read());
}

// One f32 addition per row, in ascending order: the same bits however the rows arrive.
TEST_P(RowOpsTest, AccumulateRowsDoesNotDependOnChunks) {
  for (const int64_t cols : kWidths) {
    const auto values = RandomValues(6, 70 * cols);
    std::vector<float> expected(static_cast<size_t>(cols), 0.5f);
    for (int64_t row = 2; row < 69; ++row) {
      for (int64_t i = 0; i < cols; ++i) expected[i] += values[row * cols + i];
    }
    for (const int64_t chunk : {1, 7, 67}) {
      const GuardedMatrix x(*device_, 70, cols, values);
      const std::vector<float> start(static_cast<size_t>(cols), 0.5f);
      const GuardedMatrix out(*device_, 1, cols, start);
      for (int64_t row = 2; row < 69; row += chunk) {
        device_->AccumulateRows(x.view(), row, std::min<int64_t>(69, row + chunk), out.view());
      }
      ExpectSameBits("AccumulateRows", cols, expected, out.Read());
    }
  }
}

}  // namespace
}  // namespace retort::conformance
