#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "retort/backend/cpu/cpu_device.h"
#include "retort/backend/cpu/group_layout.h"
#include "retort/base/error.h"
#include "retort/base/random.h"
#include "retort/tensor/float_bits.h"

// Linears of every dispatch level this machine has against double-precision loops. The judge
// multiplies what the contract says is multiplied (activations rounded to 8-bit groups or to bf16
// by its own code), so that the tolerance holds rounding of f32 sums and nothing else.
namespace retort {
namespace {

constexpr double kEpsilon = 0x1p-24;  // half an ulp of 1 in f32

float RandomValue(uint64_t seed, uint64_t position) {
  return static_cast<float>(RandomUniform(seed, position) * 2 - 1);
}

struct StoredTensor {
  std::string name;
  Format format;
  int64_t rows;
  int64_t cols;
  std::vector<std::byte> bytes;

  TensorView View() const { return {name, format, Shape{rows, cols}, bytes, Info(format).name}; }
};

bool IsSuperBlock(Format format) { return Info(format).block_values == 256; }

// Formats without an encoder get random codes and small f16 scales.
StoredTensor MakeTensor(Format format, int64_t rows, int64_t cols, uint64_t seed) {
  StoredTensor tensor{"w" + std::to_string(seed), format, rows, cols, {}};
  tensor.bytes.resize(static_cast<size_t>(StoredBytes(format, rows * cols)));
  if (!IsSuperBlock(format)) {
    std::vector<float> values(static_cast<size_t>(rows * cols));
    for (size_t i = 0; i < values.size(); ++i) values[i] = RandomValue(seed, i);
    Encode(format, values, tensor.bytes);
    return tensor;
  }
  for (size_t i = 0; i < tensor.bytes.size(); ++i) {
    tensor.bytes[i] = static_cast<std::byte>(RandomBits(seed, i) & 0xff);
  }
  const auto block_bytes = static_cast<size_t>(Info(format).block_bytes);
  for (size_t block = 0; block < tensor.bytes.size(); block += block_bytes) {
    const uint16_t d = F32ToF16(RandomValue(seed + 1, block) * 0.01f);
    if (format == Format::kQ6_K) {
      StoreAs<uint16_t>(&tensor.bytes[block + 208], d);
    } else {
      StoreAs<uint16_t>(&tensor.bytes[block], d);
      StoreAs<uint16_t>(&tensor.bytes[block + 2], F32ToF16(RandomValue(seed + 2, block) * 0.01f));
    }
  }
  return tensor;
}

// Rows as a kNative linear of grouped weights sees them.
std::vector<float> QuantizeLikeTheContract(const std::vector<float>& x) {
  std::vector<float> out(x.size());
  for (size_t g = 0; g < x.size(); g += 32) {
    float magnitude = 0;
    for (size_t i = g; i < g + 32; ++i) magnitude = std::max(magnitude, std::fabs(x[i]));
    const float inverse = magnitude == 0 ? 0 : 127.0f / magnitude;
    for (size_t i = g; i < g + 32; ++i) {
      // Exact: a code has 7 bits, and the judge's sums are in double.
      out[i] = static_cast<float>(std::nearbyint(x[i] * inverse));
    }
  }
  return out;
}

// Chunks of 128 values as codes of 13 bits with a scale, which `values` become the products of.
void RoundToInt16Chunks(int64_t num_cols, std::vector<float>* values) {
  const auto cols = static_cast<size_t>(num_cols);
  for (size_t row = 0; row < values->size(); row += cols) {
    for (size_t begin = row; begin < row + cols; begin += 128) {
      const size_t end = std::min(begin + 128, row + cols);
      float magnitude = 0;
      for (size_t i = begin; i < end; ++i) {
        magnitude = std::max(magnitude, std::fabs((*values)[i]));
      }
      const float inverse = magnitude == 0 ? 0 : 4095.0f / magnitude;
      const float scale = magnitude / 4095.0f;
      for (size_t i = begin; i < end; ++i) {
        (*values)[i] = std::nearbyint((*values)[i] * inverse) * scale;
      }
    }
  }
}

struct Case {
  Format format;
  Compute compute;
  int64_t outputs;
  int64_t inputs;
};

// y and a bound on its error, both [M, N].
struct Judged {
  std::vector<double> y;
  std::vector<double> bound;
};

// How far a grouped weight may be from its stored value once it is bf16, in units of 2^-10: scale
// and weight are rounded to f16 (half a unit each; in K formats one more), 2 units added, and up to
// 7 cut off. A minimum is rounded to f16 too, twice, and its weights' centre once; it is at most 5
// times the group's largest weight, whose codes span at least half of their range.
double DecodedWeightError(Format format, const std::vector<float>& weights, int64_t at) {
  constexpr double kUnit = 0x1p-10;
  double error = 6.5 * std::fabs(double{weights[at]});
  if (cpu::FindGroupLayout(format)->has_min()) {
    double largest = 0;
    for (int64_t i = at / 32 * 32; i < at / 32 * 32 + 32; ++i) {
      largest = std::max(largest, std::fabs(double{weights[i]}));
    }
    error += (5 + 0.5) * largest;
  }
  return kUnit * error;
}

// `level`: DeviceInfo's. AMX multiplies grouped integers in bf16, not as 8-bit groups; bf16 weights
// are multiplied in bf16 or, where the level has no such products, in 16-bit integers or f32.
Judged Judge(const Case& c, const StoredTensor& w, const std::vector<float>& x, int64_t num_rows,
             const std::string& level) {
  const bool groups_as_bf16 = level == "amx";
  const bool has_bf16 = level == "amx" || level == "vnni-bf16";
  const bool is_int16 =
      level == "vnni" && c.compute == Compute::kNative && c.format == Format::kBF16;
  const bool is_native_group =
      c.compute == Compute::kNative && cpu::FindGroupLayout(c.format) != nullptr;
  const bool is_grouped = is_native_group && !groups_as_bf16;
  const bool is_decoded = is_native_group && groups_as_bf16;
  const bool is_bf16 =
      is_decoded || (c.compute == Compute::kNative && c.format == Format::kBF16 && has_bf16);
  std::vector<float> decoded(static_cast<size_t>(c.outputs * c.inputs));
  DecodeRows(w.View(), 0, c.outputs, decoded.data());
  std::vector<float> seen = x;
  std::vector<double> row_scale(x.size(), 1.0);
  if (is_grouped) {
    seen = QuantizeLikeTheContract(x);
    for (size_t i = 0; i < x.size(); ++i) {
      float magnitude = 0;
      for (size_t j = i / 32 * 32; j < i / 32 * 32 + 32; ++j) {
        magnitude = std::max(magnitude, std::fabs(x[j]));
      }
      row_scale[i] = double{magnitude / 127.0f};
    }
  } else if (is_bf16) {
    for (float& value : seen) value = BF16ToF32(F32ToBF16(value));
  }
  if (is_int16) {
    RoundToInt16Chunks(c.inputs, &decoded);
    RoundToInt16Chunks(c.inputs, &seen);
  }
  // Longest chain of f32 roundings a product passes through.
  double roundings = 0;
  if (is_grouped) {
    roundings = 6.0 + 2.0 * static_cast<double>(c.inputs) / 16;
  } else if (is_int16) {
    // Codes · scale is rounded once on each side here; a chunk's fold has three roundings.
    roundings = 6.0 + 3.0 * (static_cast<double>(c.inputs) / 128 + 1);
  } else if (is_bf16) {
    roundings = 4.0 + static_cast<double>(c.inputs);
  } else {
    roundings = 4.0 + 128 + static_cast<double>(c.inputs) / 128;
  }
  Judged judged{std::vector<double>(static_cast<size_t>(num_rows * c.outputs)),
                std::vector<double>(static_cast<size_t>(num_rows * c.outputs))};
  for (int64_t m = 0; m < num_rows; ++m) {
    for (int64_t n = 0; n < c.outputs; ++n) {
      double sum = 0;
      double magnitude = 0;
      double weight_error = 0;  // see DecodedWeightError
      for (int64_t k = 0; k < c.inputs; ++k) {
        const double value = double{seen[m * c.inputs + k]} * row_scale[m * c.inputs + k];
        sum += value * double{decoded[n * c.inputs + k]};
        // A code and a minimum may cancel in the decoded weight and not in the fold.
        magnitude += std::fabs(value) *
                     (std::fabs(double{decoded[n * c.inputs + k]}) + (is_native_group ? 2.0 : 0.0));
        if (is_decoded) {
          weight_error +=
              std::fabs(value) * DecodedWeightError(c.format, decoded, n * c.inputs + k);
        }
      }
      judged.y[m * c.outputs + n] = sum;
      judged.bound[m * c.outputs + n] = roundings * kEpsilon * magnitude + weight_error + 1e-30;
    }
  }
  return judged;
}

// The level, and whether weights are multiplied before they are packed for good.
class LinearTest : public testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  void SetUp() override {
    const auto& [name, is_late] = GetParam();
    for (const CpuDispatchLevel& level : CpuDispatchLevels()) {
      if (level.name == name && !level.is_available) {
        GTEST_SKIP() << "this machine has no " << level.name;
      }
    }
    device_ = Open(is_late);
  }

  static std::unique_ptr<Device> Open(bool pack_late) {
    return OpenCpuDevice(
        {.num_threads = 2, .dispatch_level = std::get<0>(GetParam()), .pack_late = pack_late});
  }

  // Rows lie further apart than they are wide, on both sides.
  std::vector<float> Run(const LinearWeight& weight, const std::vector<float>& x, int64_t num_rows,
                         const std::vector<float>* accumulate_on = nullptr) {
    return RunOn(*device_, weight, x, num_rows, accumulate_on);
  }

  static std::vector<float> RunOn(Device& device, const LinearWeight& weight,
                                  const std::vector<float>& x, int64_t num_rows,
                                  const std::vector<float>* accumulate_on = nullptr) {
    const int64_t inputs = weight.num_inputs();
    const int64_t outputs = weight.num_outputs();
    const auto from = device.Allocate(static_cast<size_t>(num_rows * (inputs + 3)) * 4);
    const auto to = device.Allocate(static_cast<size_t>(num_rows * (outputs + 5)) * 4);
    const Matrix x_view{from.get(), 0, num_rows, inputs, inputs + 3};
    const Matrix y_view{to.get(), 0, num_rows, outputs, outputs + 5};
    device.Upload({x.data(), static_cast<size_t>(num_rows * inputs)}, x_view);
    if (accumulate_on != nullptr) device.Upload(*accumulate_on, y_view);
    device.Linear(x_view, weight, accumulate_on != nullptr, y_view);
    std::vector<float> y(static_cast<size_t>(num_rows * outputs));
    device.Download(y_view, y);
    return y;
  }

  std::unique_ptr<Device> device_;
};

std::vector<float> RandomRows(int64_t num_values, uint64_t seed) {
  std::vector<float> x(static_cast<size_t>(num_values));
  for (size_t i = 0; i < x.size(); ++i) x[i] = RandomValue(seed, i);
  return x;
}

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (const Format format :
       {Format::kF32, Format::kF16, Format::kBF16, Format::kQ4_0, Format::kQ4_1, Format::kQ5_0,
        Format::kQ5_1, Format::kQ8_0, Format::kQ4_K, Format::kQ5_K, Format::kQ6_K}) {
    for (const Compute compute : {Compute::kNative, Compute::kExact}) {
      const int block = Info(format).block_values;
      if (block == 1) {
        cases.push_back({format, compute, 33, 1});
        cases.push_back({format, compute, 7, 129});
      }
      if (block <= 32) {
        cases.push_back({format, compute, 1, 32});
        cases.push_back({format, compute, 70, 96});
        cases.push_back({format, compute, 32, 544});
      }
      cases.push_back({format, compute, 47, 768});
    }
  }
  return cases;
}

std::string Describe(const Case& c) {
  return std::string(Info(c.format).name) + (c.compute == Compute::kExact ? " exact" : " native") +
         " N " + std::to_string(c.outputs) + " K " + std::to_string(c.inputs);
}

TEST_P(LinearTest, AgreesWithDoubleLoops) {
  constexpr int64_t kRows = 37;
  for (const Case& c : AllCases()) {
    SCOPED_TRACE(Describe(c));
    const StoredTensor w = MakeTensor(c.format, c.outputs, c.inputs, 11);
    const TensorView parts[] = {w.View()};
    const auto weight = device_->PackLinear(parts, {}, c.compute);
    const std::vector<float> x = RandomRows(kRows * c.inputs, 5);
    const Judged judged = Judge(c, w, x, kRows, device_->info().dispatch_level);
    const std::vector<float> y = Run(*weight, x, kRows);
    int num_wrong = 0;
    for (size_t i = 0; i < y.size() && num_wrong < 3; ++i) {
      if (!(std::fabs(double{y[i]} - judged.y[i]) <= judged.bound[i])) {
        ++num_wrong;
        ADD_FAILURE() << "row " << i / c.outputs << " output " << i % c.outputs << ": " << y[i]
                      << ", expected " << judged.y[i] << " ± " << judged.bound[i];
      }
    }
  }
}

TEST_P(LinearTest, ARowIsTheSameBitsInEveryBatch) {
  constexpr int64_t kRows = 300;
  for (const Case& c : AllCases()) {
    SCOPED_TRACE(Describe(c));
    const StoredTensor w = MakeTensor(c.format, c.outputs, c.inputs, 23);
    const TensorView parts[] = {w.View()};
    const auto weight = device_->PackLinear(parts, {}, c.compute);
    const int64_t num_rows = c.inputs < 700 ? 70 : kRows;
    const std::vector<float> x = RandomRows(num_rows * c.inputs, 7);
    std::vector<float> alone;
    for (int64_t row = 0; row < num_rows; ++row) {
      const std::vector<float> one(x.begin() + row * c.inputs, x.begin() + (row + 1) * c.inputs);
      const std::vector<float> y = Run(*weight, one, 1);
      alone.insert(alone.end(), y.begin(), y.end());
    }
    for (const int64_t count : {2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 22, 31, 32, 33, 64, 70, 300}) {
      if (count > num_rows) continue;
      const std::vector<float> y = Run(*weight, x, count);
      EXPECT_EQ(std::memcmp(y.data(), alone.data(), y.size() * sizeof(float)), 0)
          << count << " rows";
    }
  }
}

TEST_P(LinearTest, StacksPartsOfSeveralFormatsWithBiasAndResidual) {
  const StoredTensor q = MakeTensor(Format::kQ4_1, 40, 256, 1);
  const StoredTensor k = MakeTensor(Format::kQ4_1, 9, 256, 2);
  const StoredTensor v = MakeTensor(Format::kQ6_K, 9, 256, 3);
  const StoredTensor dense = MakeTensor(Format::kBF16, 33, 256, 4);
  const StoredTensor half = MakeTensor(Format::kQ8_0, 2, 256, 6);
  const TensorView parts[] = {q.View(), k.View(), v.View(), dense.View(), half.View()};
  StoredTensor bias = MakeTensor(Format::kF16, 1, 9, 5);
  TensorView bias_view = bias.View();
  bias_view.shape = Shape{9};
  const TensorView biases[] = {{}, bias_view, {}, {}, {}};
  for (const Compute compute : {Compute::kNative, Compute::kExact}) {
    const auto stacked = device_->PackLinear(parts, biases, compute);
    EXPECT_EQ(stacked->num_outputs(), 93);
    for (const int64_t num_rows : {1, 5, 20}) {
      const std::vector<float> x = RandomRows(num_rows * 256, 31);
      const std::vector<float> residual = RandomRows(num_rows * 93, 32);
      const std::vector<float> y = Run(*stacked, x, num_rows);
      const std::vector<float> added = Run(*stacked, x, num_rows, &residual);
      int64_t begin = 0;
      for (const TensorView& part : parts) {
        const auto single = device_->PackLinear({&part, 1}, {}, compute);
        const std::vector<float> expected = Run(*single, x, num_rows);
        for (int64_t i = 0; i < num_rows * part.shape[0]; ++i) {
          const int64_t row = i / part.shape[0];
          const int64_t output = begin + i % part.shape[0];
          float value = expected[i];
          if (begin == 40) {
            value += F16ToF32(LoadAs<uint16_t>(&bias.bytes[2 * (i % 9)]));
          }
          EXPECT_EQ(y[row * 93 + output], value);
          EXPECT_EQ(added[row * 93 + output], residual[row * 93 + output] + value);
        }
        begin += part.shape[0];
      }
    }
  }
}

TEST_P(LinearTest, ExtremeActivations) {
  const StoredTensor w = MakeTensor(Format::kQ8_0, 5, 64, 3);
  const TensorView parts[] = {w.View()};
  const auto weight = device_->PackLinear(parts, {}, Compute::kNative);
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> x(5 * 64, 0.0f);
  x[64 + 3] = 1e-40f;       // row 1: below what a scale can express counts as zero
  x[2 * 64 + 40] = kNan;    // row 2
  x[3 * 64 + 1] = kInf;     // row 3
  x[4 * 64 + 5] = 3.4e38f;  // row 4: finite
  const std::vector<float> y = Run(*weight, x, 5);
  for (int64_t n = 0; n < 5; ++n) {
    EXPECT_EQ(y[n], 0.0f);
    EXPECT_EQ(y[5 + n], 0.0f);
    EXPECT_FALSE(std::isfinite(y[10 + n]));
    EXPECT_FALSE(std::isfinite(y[15 + n]));
  }
}

// Decoding has room for so many powers of two only, and moves them to the sums. From scales so
// small that f16 has few bits left for them, in which all larger ones are exact.
TEST_P(LinearTest, APowerOfTwoInScalesIsOneInResults) {
  constexpr int64_t kInputs = 96;
  constexpr int kLeastPower = -14;
  const std::vector<float> x = RandomRows(3 * kInputs, 41);
  for (const Format format :
       {Format::kQ4_0, Format::kQ4_1, Format::kQ5_0, Format::kQ5_1, Format::kQ8_0}) {
    const int num_halves = cpu::FindGroupLayout(format)->has_min() ? 2 : 1;
    const auto block_bytes = static_cast<size_t>(Info(format).block_bytes);
    std::vector<float> least;
    for (const int power : {0, 4, 10, 14, 20}) {
      SCOPED_TRACE(std::string(Info(format).name) + " 2^" + std::to_string(power));
      StoredTensor w = MakeTensor(format, 40, kInputs, 12);
      for (size_t block = 0; block < w.bytes.size(); block += block_bytes) {
        for (int i = 0; i < num_halves; ++i) {
          std::byte* half = &w.bytes[block + 2 * static_cast<size_t>(i)];
          const uint16_t small =
              F32ToF16(std::ldexp(F16ToF32(LoadAs<uint16_t>(half)), kLeastPower));
          StoreAs<uint16_t>(half, F32ToF16(std::ldexp(F16ToF32(small), power)));
        }
      }
      const TensorView parts[] = {w.View()};
      const std::vector<float> y = Run(*device_->PackLinear(parts, {}, Compute::kNative), x, 3);
      if (power == 0) least = y;
      // Weights are at most 4 · 2^kLeastPower here. One of 0 may become 2^-30 where the largest is
      // 2^-12, in either; sums that begin so are rounded otherwise.
      const double bound = std::ldexp(4.0, kLeastPower) * kInputs * (2 * 0x1p-18 + 2 * kEpsilon);
      for (size_t i = 0; i < y.size(); ++i) {
        EXPECT_NEAR(std::ldexp(y[i], -power), least[i], bound);
      }
    }
  }
}

// -128 is a code a Q8_0 file may hold though no encoder writes it.
TEST_P(LinearTest, LargestCodesDoNotSaturate) {
  StoredTensor w = MakeTensor(Format::kQ8_0, 33, 64, 3);
  for (size_t block = 0; block < w.bytes.size(); block += 34) {
    StoreAs<uint16_t>(&w.bytes[block], F32ToF16(1.0f));
    for (size_t i = 0; i < 32; ++i) {
      StoreAs<int8_t>(&w.bytes[block + 2 + i], block / 34 % 2 == 0 ? -128 : 127);
    }
  }
  const TensorView parts[] = {w.View()};
  const auto weight = device_->PackLinear(parts, {}, Compute::kNative);
  for (const float sign : {1.0f, -1.0f}) {
    for (const int64_t num_rows : {1, 7, 20}) {
      std::vector<float> x(static_cast<size_t>(num_rows) * 64);
      for (size_t i = 0; i < x.size(); ++i) x[i] = i % 64 < 32 ? sign : -sign;
      const std::vector<float> y = Run(*weight, x, num_rows);
      for (const float value : y) EXPECT_NEAR(value, -sign * 32 * 255.0f, 0.01f);
    }
  }
}

TEST_P(LinearTest, RefusesWhatItCannotMultiply) {
  const auto code_of = [&](const TensorView& tensor, const std::string& where = "") {
    try {
      const auto weight = device_->PackLinear({&tensor, 1}, {}, Compute::kNative);
      Run(*weight, RandomRows(weight->num_inputs(), 3), 1);
    } catch (const Error& error) {
      EXPECT_NE(error.message().find(std::string(tensor.name)), std::string::npos)
          << error.message();
      EXPECT_NE(error.message().find(where), std::string::npos) << error.message();
      return error.code();
    }
    ADD_FAILURE() << "packed";
    return ErrorCode::kInternal;
  };
  for (const Format format :
       {Format::kQ4_0, Format::kQ4_1, Format::kQ5_0, Format::kQ5_1, Format::kQ8_0, Format::kQ6_K,
        Format::kQ4_K, Format::kQ5_K, Format::kBF16, Format::kF16, Format::kF32}) {
    StoredTensor w = MakeTensor(format, 300, 256, 9);
    const size_t last = w.bytes.size();
    if (format == Format::kF32) {
      StoreAs<float>(&w.bytes[last - 4], NAN);
    } else if (format == Format::kBF16) {
      StoreAs<uint16_t>(&w.bytes[last - 2], 0x7f80);
    } else if (format == Format::kF16 || format == Format::kQ6_K) {
      StoreAs<uint16_t>(&w.bytes[last - 2], 0x7c00);
    } else {
      StoreAs<uint16_t>(&w.bytes[last - static_cast<size_t>(Info(format).block_bytes)], 0x7e00);
    }
    const size_t num_blocks = last / static_cast<size_t>(Info(format).block_bytes);
    const std::string where = Info(format).block_values == 1
                                  ? "[299, 255]"
                                  : "block " + std::to_string(num_blocks - 1) + " ";
    EXPECT_EQ(code_of(w.View(), where), ErrorCode::kCorrupt) << Info(format).name;
  }
  StoredTensor odd = MakeTensor(Format::kBF16, 40, 37, 9);
  StoreAs<uint16_t>(&odd.bytes[odd.bytes.size() - 2], 0xff81);
  EXPECT_EQ(code_of(odd.View(), "[39, 36]"), ErrorCode::kCorrupt);
  StoreAs<uint16_t>(&odd.bytes[2 * (33 * 37 + 35)], 0x7f80);
  EXPECT_EQ(code_of(odd.View(), "[33, 35]"), ErrorCode::kCorrupt);
  StoredTensor w = MakeTensor(Format::kQ4_0, 4, 32, 9);
  w.bytes.resize(w.bytes.size() - 1);
  EXPECT_EQ(code_of(w.View()), ErrorCode::kCorrupt);
  StoredTensor table{"table", Format::kIQ4_NL, 2, 32, std::vector<std::byte>(36)};
  EXPECT_EQ(code_of(table.View()), ErrorCode::kUnsupported);
}

TEST_P(LinearTest, PackedSizeIsTheStoredSize) {
  for (const Case& c : AllCases()) {
    if (c.outputs % 32 != 0 && c.inputs != 768) continue;
    const StoredTensor w = MakeTensor(c.format, 64, c.inputs, 3);
    const TensorView parts[] = {w.View()};
    const auto weight = device_->PackLinear(parts, {}, c.compute);
    EXPECT_LE(static_cast<double>(weight->size_bytes()), 1.1 * static_cast<double>(w.bytes.size()))
        << Describe(c);
  }
}

std::vector<std::string> LevelNames() {
  std::vector<std::string> names;
  for (const CpuDispatchLevel& level : CpuDispatchLevels()) names.emplace_back(level.name);
  return names;
}

std::string NameOfLevel(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');  // which gtest does not take
  return name;
}

INSTANTIATE_TEST_SUITE_P(Levels, LinearTest,
                         testing::Combine(testing::ValuesIn(LevelNames()), testing::Bool()),
                         [](const auto& info) {
                           return NameOfLevel(std::get<0>(info.param)) +
                                  (std::get<1>(info.param) ? "_late" : "");
                         });

// Of a block: two linears with a norm before them, and a residual.
class LateWeightsTest : public LinearTest {
 protected:
  static constexpr int64_t kModel = 256;
  static constexpr int64_t kFfn = 512;

  struct Block {
    std::unique_ptr<LinearWeight> qkv, gate_up, down;
  };

  static Block PackBlock(Device& device, const std::array<StoredTensor, 5>& tensors) {
    const TensorView qkv[] = {tensors[0].View(), tensors[1].View()};
    const TensorView gate_up[] = {tensors[2].View(), tensors[3].View()};
    const TensorView down = tensors[4].View();
    return {device.PackLinear(qkv, {}, Compute::kNative),
            device.PackLinear(gate_up, {}, Compute::kNative),
            device.PackLinear({&down, 1}, {}, Compute::kNative)};
  }

  // What a block makes of `rows` [T, kModel]: the outputs of its first linear, then the residual.
  static std::vector<float> RunBlock(Device& device, const Block& block,
                                     const std::vector<float>& rows) {
    const auto num_rows = static_cast<int64_t>(rows.size()) / kModel;
    const int64_t num_qkv = block.qkv->num_outputs();
    const int64_t widths[] = {kModel, kModel, 2 * kFfn, kFfn, num_qkv};
    std::vector<Matrix> matrices;
    std::vector<std::unique_ptr<Buffer>> buffers;
    const auto add = [&](int64_t count, int64_t width) {
      buffers.push_back(device.Allocate(static_cast<size_t>(count * width) * 4));
      matrices.push_back({buffers.back().get(), 0, count, width, width});
    };
    for (const int64_t width : widths) add(num_rows, width);
    add(1, kModel);
    device.Upload(rows, matrices[0]);
    device.Upload(RandomRows(kModel, 77), matrices[5]);
    const Device::Norm norm{matrices[5], 1e-5f};
    device.NormedLinear(matrices[0], norm, *block.qkv, matrices[1], matrices[4]);
    device.FeedForward(matrices[0], norm, *block.gate_up, Activation::kSilu, *block.down,
                       {matrices[1], matrices[2], matrices[3]});
    std::vector<float> out(static_cast<size_t>(num_rows * (num_qkv + kModel)));
    const auto num_first = static_cast<size_t>(num_rows * num_qkv);
    device.Download(matrices[4], std::span(out).first(num_first));
    device.Download(matrices[0], std::span(out).subspan(num_first));
    return out;
  }

  static void BeginStep(Device& device) {
    BatchPlan plan;
    plan.token_ids = {0};
    plan.positions = {0};
    plan.row_begin = {0, 1};
    plan.page_table = {0};
    plan.page_stride = 1;
    const auto batch = device.CreateBatch(1, 1, 1);
    device.UploadBatch(plan, *batch);
  }
};

TEST_P(LateWeightsTest, GiveTheSameBitsBeforeTheyArePackedAndAfter) {
  const auto late = Open(/*pack_late=*/true);
  for (const Format format : {Format::kF32, Format::kF16, Format::kBF16, Format::kQ4_0,
                              Format::kQ5_1, Format::kQ8_0, Format::kQ4_K, Format::kQ6_K}) {
    SCOPED_TRACE(Info(format).name);
    const std::array<StoredTensor, 5> tensors = {
        MakeTensor(format, 200, kModel, 1), MakeTensor(Format::kQ8_0, 50, kModel, 2),
        MakeTensor(format, kFfn, kModel, 3), MakeTensor(format, kFfn, kModel, 4),
        MakeTensor(format, kModel, kFfn, 5)};
    const Block eager_block = PackBlock(*device_, tensors);
    const Block late_block = PackBlock(*late, tensors);
    PackBlock(*late, tensors);  // gone before it is packed
    const auto expect_equal = [&](const char* when) {
      for (const int64_t num_rows : {1, 5, 16, 40, 300}) {
        const std::vector<float> rows = RandomRows(num_rows * kModel, 8);
        EXPECT_EQ(RunBlock(*late, late_block, rows), RunBlock(*device_, eager_block, rows))
            << num_rows << " rows " << when;
      }
    };
    expect_equal("before");
    BeginStep(*late);  // packs from the second on
    BeginStep(*late);
    expect_equal("after");
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, LateWeightsTest,
                         testing::Combine(testing::ValuesIn(LevelNames()), testing::Values(false)),
                         [](const auto& info) { return NameOfLevel(std::get<0>(info.param)); });

TEST_P(LateWeightsTest, OneThatIsCorruptEndsEveryStep) {
  const auto late = Open(/*pack_late=*/true);
  const StoredTensor good = MakeTensor(Format::kQ8_0, 40, 64, 1);
  StoredTensor bad = MakeTensor(Format::kBF16, 40, 64, 2);
  StoreAs<uint16_t>(&bad.bytes[2 * (7 * 64 + 5)], 0x7fc0);
  const TensorView parts[] = {good.View(), bad.View()};
  const auto weight = late->PackLinear(parts, {}, Compute::kNative);
  BeginStep(*late);
  for (int i = 0; i < 3; ++i) {
    const auto code_of = [](const auto& function) {
      try {
        function();
      } catch (const Error& error) {
        EXPECT_NE(error.message().find("[7, 5]"), std::string::npos) << error.message();
        return error.code();
      }
      return ErrorCode::kInternal;
    };
    EXPECT_EQ(code_of([&] { BeginStep(*late); }), ErrorCode::kCorrupt);
    EXPECT_EQ(code_of([&] { RunOn(*late, *weight, RandomRows(64, 1), 1); }), ErrorCode::kCorrupt);
  }
}

// The source may go once a weight is packed.
TEST_P(LateWeightsTest, LeaveTheirSourceOnceTheyArePacked) {
  const auto late = Open(/*pack_late=*/true);
  BeginStep(*late);
  auto source = std::make_unique<StoredTensor>(MakeTensor(Format::kBF16, 64, 128, 1));
  const TensorView view = source->View();
  const auto weight = late->PackLinear({&view, 1}, {}, Compute::kNative);
  const auto eager = device_->PackLinear({&view, 1}, {}, Compute::kNative);
  BeginStep(*late);
  source.reset();
  const std::vector<float> x = RandomRows(3 * 128, 4);
  EXPECT_EQ(RunOn(*late, *weight, x, 3), Run(*eager, x, 3));
}

TEST(CpuDevice, ForcedLevelsAreCheckedByName) {
  EXPECT_THROW(OpenCpuDevice({.num_threads = 1, .dispatch_level = "sse9"}), Error);
  EXPECT_THROW(OpenCpuDevice({.num_threads = -1, .dispatch_level = "scalar"}), Error);
  EXPECT_EQ(OpenCpuDevice({.num_threads = 1, .dispatch_level = "scalar"})->info().dispatch_level,
            "scalar");
}

}  // namespace
}  // namespace retort
