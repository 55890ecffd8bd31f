#include <algorithm>
#include <cmath>
#include <limits>

#include "retort/base/error.h"
#include "tests/conformance/ops/subject_test.h"

// Linear: y = x Wᵀ + b from every storage format a checkpoint may hold.
namespace retort::conformance {
namespace {

constexpr int64_t kGroup = 32;  // activations of integer weights are quantised in groups of this

struct Part {
  Format format;
  int64_t outputs;
  bool has_bias;
};

bool IsDense(Format format) {
  return format == Format::kF32 || format == Format::kF16 || format == Format::kBF16;
}

std::unique_ptr<OwnedTensor> MakeWeight(Format format, Shape shape, uint64_t seed) {
  if (Info(format).encode == nullptr) {
    return std::unique_ptr<OwnedTensor>(
        new OwnedTensor(OwnedTensor::RandomBlocks("weight", format, shape, seed, 1e-4f)));
  }
  return std::make_unique<OwnedTensor>("weight", format, shape,
                                       RandomValues(seed, shape.NumValues(), 0.1f));
}

class LinearCase : public OpCase {
 public:
  LinearCase(int64_t rows, int64_t inputs, const std::vector<Part>& parts, Compute compute,
             bool accumulate = false)
      : rows_(rows), inputs_(inputs), compute_(compute), accumulate_(accumulate) {
    for (const Part& part : parts) {
      const auto seed = static_cast<uint64_t>(41 + outputs_);
      formats_.insert(formats_.end(), static_cast<size_t>(part.outputs), part.format);
      weights_.push_back(MakeWeight(part.format, Shape({part.outputs, inputs}), seed));
      biases_.push_back(nullptr);
      if (part.has_bias) {
        biases_.back() = std::make_unique<OwnedTensor>("bias", Format::kBF16, Shape({part.outputs}),
                                                       RandomValues(seed + 1, part.outputs));
      }
      outputs_ += part.outputs;
    }
    x_ = RandomValues(51, rows * inputs);
    before_ = RandomValues(52, rows * outputs_);
  }

  std::string name() const override {
    std::string name = std::string(compute_ == Compute::kExact ? "exact" : "native") + " Linear [" +
                       std::to_string(rows_) + ", " + std::to_string(inputs_) + "] x " +
                       std::to_string(outputs_);
    for (const auto& weight : weights_) name += " " + std::string(weight->view().source_type);
    return name + (accumulate_ ? " +=" : "");
  }
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return outputs_; }
  double bytes() const override {
    double bytes = 4.0 * static_cast<double>(rows_ * (inputs_ + outputs_));
    for (const auto& weight : weights_) bytes += static_cast<double>(weight->view().bytes.size());
    return bytes;
  }
  double flops() const override { return 2.0 * static_cast<double>(rows_ * inputs_ * outputs_); }
  std::vector<float>& x() { return x_; }

  std::vector<float> Run(Device& device) const override {
    return RunRows(device, *Pack(device), 0, rows_);
  }

  std::unique_ptr<LinearWeight> Pack(Device& device) const {
    std::vector<TensorView> parts;
    std::vector<TensorView> biases;
    for (size_t i = 0; i < weights_.size(); ++i) {
      parts.push_back(weights_[i]->view());
      biases.push_back(biases_[i] == nullptr ? TensorView{} : biases_[i]->view());
    }
    auto weight = device.PackLinear(parts, biases, compute_);
    EXPECT_EQ(weight->num_outputs(), outputs_);
    EXPECT_EQ(weight->num_inputs(), inputs_);
    EXPECT_GT(weight->size_bytes(), 0u);
    return weight;
  }

  std::vector<float> RunRows(Device& device, const LinearWeight& weight, int64_t begin,
                             int64_t end) const {
    const std::span<const float> values(x_.data() + begin * inputs_,
                                        static_cast<size_t>((end - begin) * inputs_));
    const std::span<const float> before(before_.data() + begin * outputs_,
                                        static_cast<size_t>((end - begin) * outputs_));
    const GuardedMatrix x(device, end - begin, inputs_, values);
    const GuardedMatrix out(device, end - begin, outputs_, before);
    device.Linear(x.view(), weight, accumulate_, out.view());
    ExpectSameBits("x", inputs_, values, x.Read());
    return out.Read();
  }

  // Σ_k |x_k|·m_k·γ_{K+8} for any order of summing K products, with up to eight more roundings for
  // scales and partial sums, where m_k = |w_k|, and for a group with a minimum (w = d·q + m, summed
  // apart) |w_k| + 4·max|w| of the group: its codes span most of their range, so that |d·q| + |m|
  // is no more. Bias and residual add |b| + |y| to what is rounded. What kNative gives up comes on
  // top: half a quantisation step of 8 bits, max|x|/254 per group of 32 (and the rounding of
  // x/step, a few units of 127) for integer weights, or, where they are multiplied in bf16, the
  // rounding of both to it (a weight may be off by two thirds of a unit in the last place, and,
  // where its scale and offset are far apart, by 2^-10 of its group's largest); half a unit in the
  // last place of bf16, 2^-8·|x|, for bf16 weights; nothing for f32, f16.
  std::vector<double> Bounds() const override {
    std::vector<double> bounds;
    for (int64_t row = 0; row < rows_; ++row) {
      int64_t output = 0;
      for (size_t p = 0; p < weights_.size(); ++p) {
        const std::vector<float>& weight = weights_[p]->decoded();
        for (int64_t n = 0; n < weights_[p]->view().shape[0]; ++n, ++output) {
          const double bias =
              biases_[p] == nullptr ? 0 : std::fabs(double{biases_[p]->decoded()[n]});
          const double before = accumulate_ ? std::fabs(before_[row * outputs_ + output]) : 0.0;
          bounds.push_back(
              DotBound(x_.data() + row * inputs_, weight.data() + n * inputs_, formats_[output]) +
              Gamma(4) * (bias + before));
        }
      }
    }
    return bounds;
  }

 private:
  double DotBound(const float* x, const float* weight, Format format) const {
    double magnitude = 0;
    double given_up = 0;
    for (int64_t begin = 0; begin < inputs_; begin += kGroup) {
      const int64_t end = std::min(inputs_, begin + kGroup);
      double x_max = 0;
      double weight_max = 0;
      for (int64_t k = begin; k < end; ++k) {
        x_max = std::max(x_max, std::fabs(double{x[k]}));
        weight_max = std::max(weight_max, std::fabs(double{weight[k]}));
      }
      for (int64_t k = begin; k < end; ++k) {
        const double w = std::fabs(double{weight[k]});
        const double value = std::fabs(double{x[k]});
        magnitude += value * (IsDense(format) ? w : w + 4 * weight_max);
        if (compute_ == Compute::kExact) continue;
        if (format == Format::kBF16) given_up += 0x1p-8 * value * w;
        if (!IsDense(format)) {
          const double as_codes = x_max / 127 * (0.5 + 127 * Gamma(4));
          const double weight_error = (1 + 0x1p-8) * 2 / 3 * 0x1p-7 * w + 0x1p-10 * weight_max;
          const double as_bf16 = value * (0x1p-8 * (w + weight_error) + weight_error);
          given_up += std::max(w * as_codes, as_bf16);
        }
      }
    }
    return magnitude * Gamma(static_cast<double>(inputs_) + 8) + given_up +
           static_cast<double>(inputs_) * std::numeric_limits<float>::min();
  }

  int64_t rows_;
  int64_t inputs_;
  int64_t outputs_ = 0;
  Compute compute_;
  bool accumulate_;
  std::vector<Format> formats_;  // of each output
  std::vector<std::unique_ptr<OwnedTensor>> weights_;
  std::vector<std::unique_ptr<OwnedTensor>> biases_;
  std::vector<float> x_;
  std::vector<float> before_;
};

const Format kDense[] = {Format::kF32, Format::kF16, Format::kBF16};
const Format kGrouped[] = {Format::kQ8_0, Format::kQ4_0, Format::kQ4_1, Format::kQ5_0,
                           Format::kQ5_1};
const Compute kComputes[] = {Compute::kExact, Compute::kNative};

class LinearTest : public SubjectTest {};
RETORT_ON_EVERY_DEVICE(LinearTest);

TEST_P(LinearTest, DenseAgreesWithRef) {
  for (const Compute compute : kComputes) {
    for (const Format format : kDense) {
      for (const int64_t inputs : {1, 3, 31, 33, 64, 100, 576}) {
        Judge(LinearCase(3, inputs, {{format, 19, true}}, compute));
      }
      for (const int64_t outputs : {1, 15, 16, 17, 31, 33, 65}) {
        Judge(LinearCase(5, 96, {{format, outputs, false}}, compute, true));
      }
    }
  }
}

TEST_P(LinearTest, GroupedAgreesWithRef) {
  for (const Compute compute : kComputes) {
    for (const Format format : kGrouped) {
      for (const int64_t inputs : {32, 64, 96, 160, 576}) {
        Judge(LinearCase(3, inputs, {{format, 19, true}}, compute));
      }
      for (const int64_t outputs : {1, 15, 16, 17, 31, 33, 65}) {
        Judge(LinearCase(5, 96, {{format, outputs, false}}, compute, true));
      }
    }
  }
}

TEST_P(LinearTest, EveryNumberOfRowsAgreesWithRef) {
  for (const Compute compute : kComputes) {
    for (const Format format : {Format::kBF16, Format::kQ4_1, Format::kQ8_0, Format::kF32}) {
      for (const int64_t rows : {1, 2, 4, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 70}) {
        Judge(LinearCase(rows, 96, {{format, 33, true}}, compute));
      }
    }
  }
}

// Inputs that a device may walk in several stretches, with many rows.
TEST_P(LinearTest, LongInputsAgreeWithRef) {
  for (const Format format : {Format::kBF16, Format::kQ4_1, Format::kQ8_0, Format::kQ6_K}) {
    for (const int64_t inputs : {320, 608, 2304}) {
      if (inputs % Info(format).block_values != 0) continue;
      Judge(LinearCase(70, inputs, {{format, 33, true}}, Compute::kNative, true));
    }
  }
}

// What real files mix in: Q6_K is symmetric, 16 values to a scale; Q4_K has minima.
TEST_P(LinearTest, SuperBlocksAgreeWithRef) {
  for (const Compute compute : kComputes) {
    for (const Format format : {Format::kQ2_K, Format::kQ3_K, Format::kQ4_K, Format::kQ5_K,
                                Format::kQ6_K, Format::kIQ4_XS, Format::kIQ4_NL}) {
      const LinearCase op(5, 512, {{format, 33, true}}, compute);
      try {
        Judge(op);
      } catch (const Error& error) {
        // A device may refuse what it has no kernel for, when it packs; not what demo files hold.
        EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.message();
        EXPECT_NE(format, Format::kQ6_K) << error.message();
      }
    }
  }
}

// As query, key and value projections are stacked, in formats that real files mix.
TEST_P(LinearTest, StackedPartsAgreeWithRef) {
  for (const Compute compute : kComputes) {
    Judge(LinearCase(
        7, 128, {{Format::kQ4_1, 40, true}, {Format::kQ8_0, 9, false}, {Format::kBF16, 24, true}},
        compute));
    Judge(
        LinearCase(7, 256, {{Format::kQ4_0, 33, false}, {Format::kQ5_1, 33, true}}, compute, true));
  }
}

TEST_P(LinearTest, ARowDoesNotDependOnOthersOrThreads) {
  const auto one_thread = GetParam().Open(1);
  for (const Compute compute : kComputes) {
    for (const Format format :
         {Format::kF32, Format::kF16, Format::kBF16, Format::kQ4_0, Format::kQ4_1, Format::kQ8_0}) {
      const LinearCase op(70, 160, {{format, 67, true}}, compute, true);
      const auto weight = op.Pack(*device_);
      const auto together = op.RunRows(*device_, *weight, 0, 70);
      for (const int64_t step : {1, 3, 16, 33}) {
        std::vector<float> apart;
        for (int64_t row = 0; row < 70; row += step) {
          const auto part = op.RunRows(*device_, *weight, row, std::min<int64_t>(70, row + step));
          apart.insert(apart.end(), part.begin(), part.end());
        }
        ExpectSameBits(op.name() + " by " + std::to_string(step), op.cols(), together, apart);
      }
      ExpectSameBits(op.name() + " on one thread", op.cols(), together, op.Run(*one_thread));
    }
  }
}

struct BlockResult {
  std::vector<float> normed;  // what the first linear makes of the normed rows
  std::vector<float> out;     // after the feed-forward
};

// A NormedLinear by `in`, and a FeedForward by `in` and `down`; in one operation each, or in all.
BlockResult RunBlock(Device& device, int64_t rows, const LinearWeight& in, const LinearWeight& down,
                     Activation activation, bool in_one) {
  const int64_t width = in.num_inputs();
  const int64_t num_gated = down.num_inputs();
  const std::vector<float> values = RandomValues(71, rows * width, 3.0f);
  const GuardedMatrix x(device, rows, width, values);
  const GuardedMatrix weight(device, 1, width, RandomValues(72, width));
  const GuardedMatrix normed(device, rows, width);
  const GuardedMatrix gate_up(device, rows, 2 * num_gated);
  const GuardedMatrix gated(device, rows, num_gated);
  const GuardedMatrix first(device, rows, 2 * num_gated);
  constexpr float kEpsilon = 1e-5f;
  if (in_one) {
    const Device::Norm norm{weight.view(), kEpsilon};
    device.NormedLinear(x.view(), norm, in, normed.view(), first.view());
    ExpectSameBits("x", width, values, x.Read());
    device.FeedForward(x.view(), norm, in, activation, down,
                       {normed.view(), gate_up.view(), gated.view()});
  } else {
    device.RmsNorm(x.view(), weight.view(), kEpsilon, normed.view());
    device.Linear(normed.view(), in, /*accumulate=*/false, first.view());
    device.Linear(normed.view(), in, /*accumulate=*/false, gate_up.view());
    device.GatedActivation(gate_up.view(), activation, gated.view());
    device.Linear(gated.view(), down, /*accumulate=*/true, x.view());
  }
  for (const GuardedMatrix* scratch : {&normed, &gate_up, &gated}) scratch->Read();
  return {first.Read(), x.Read()};
}

// Judged by the bits of their parts, which are judged above and in row_ops_test.cc.
TEST_P(LinearTest, NormedLinearAndFeedForwardAreTheirParts) {
  constexpr int64_t kInputs = 96;
  for (const Compute compute : kComputes) {
    for (const Format format : {Format::kF32, Format::kBF16, Format::kQ4_1, Format::kQ8_0}) {
      for (const auto& gate_up :
           std::vector<std::vector<Part>>{{{format, 64, true}, {format, 64, true}},
                                          {{format, 96, false}, {format, 96, false}},
                                          {{format, 128, true}, {format, 128, true}},
                                          {{format, 48, true}, {format, 48, true}},
                                          {{format, 33, false}, {format, 33, true}},
                                          {{format, 64, false}, {Format::kQ4_0, 64, false}}}) {
        const int64_t num_gated = gate_up[0].outputs;
        const Format down_format =
            num_gated % Info(format).block_values == 0 ? format : Format::kF32;
        for (const int64_t rows : {1, 3, 5, 16, 21, 40, 300}) {
          const Activation activation = rows == 5 ? Activation::kGeluTanh : Activation::kSilu;
          const LinearCase first(rows, kInputs, gate_up, compute);
          const LinearCase back(rows, num_gated, {{down_format, kInputs, false}}, compute, true);
          const auto in = first.Pack(*device_);
          const auto down = back.Pack(*device_);
          const auto apart = RunBlock(*device_, rows, *in, *down, activation, /*in_one=*/false);
          const auto in_one = RunBlock(*device_, rows, *in, *down, activation, /*in_one=*/true);
          ExpectSameBits("normed " + first.name(), first.cols(), apart.normed, in_one.normed);
          ExpectSameBits("feed-forward " + first.name(), kInputs, apart.out, in_one.out);
        }
      }
    }
  }
}

// A row with a NaN is NaN throughout and its neighbours are untouched.
TEST_P(LinearTest, NaNStaysInItsRow) {
  for (const Compute compute : kComputes) {
    for (const Format format : {Format::kF32, Format::kBF16, Format::kQ4_1, Format::kQ8_0}) {
      LinearCase op(20, 96, {{format, 33, false}}, compute);
      const auto clean = op.Run(*device_);
      op.x()[7 * 96 + 50] = std::numeric_limits<float>::quiet_NaN();
      const auto poisoned = op.Run(*device_);
      for (int64_t i = 0; i < op.rows() * op.cols(); ++i) {
        if (i / op.cols() == 7) {
          EXPECT_TRUE(std::isnan(poisoned[i])) << op.name() << " column " << i % op.cols();
        } else {
          EXPECT_EQ(poisoned[i], clean[i]) << op.name() << " row " << i / op.cols();
        }
      }
    }
  }
}

TEST_P(LinearTest, WeightsThatAreNotFiniteAreCorrupt) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> values = RandomValues(61, 64 * 32);
    values[1000] = bad;
    const TensorView view{"model.bad.weight", Format::kF32, Shape({64, 32}),
                          std::as_bytes(std::span(values)), "F32"};
    try {
      device_->PackLinear({&view, 1}, {}, Compute::kNative);
      ADD_FAILURE() << "packed a weight that holds " << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      EXPECT_NE(error.message().find("model.bad.weight"), std::string::npos) << error.message();
    }
  }
}

}  // namespace
}  // namespace retort::conformance
