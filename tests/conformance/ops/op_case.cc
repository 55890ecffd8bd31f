#include "tests/conformance/ops/op_case.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "retort/base/random.h"
#include "retort/devices/devices.h"
#include "retort/tensor/float_bits.h"

namespace retort::conformance {
namespace {

constexpr int64_t kGuardRows = 2;
constexpr int64_t kGuardCols = 5;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

}  // namespace

std::unique_ptr<Device> Subject::Open(int num_threads) const {
  DeviceOptions options;
  options.num_threads = num_threads;
  options.dispatch_level = level;
  return OpenDevice(device, options);
}

const std::vector<Subject>& Subjects() {
  static const std::vector<Subject> subjects = [] {
    std::vector<Subject> found = {{"ref", "scalar", ""}};
    for (const std::string& device : DeviceNames()) {
      if (device == "ref") continue;
      for (const DispatchLevel& level : DispatchLevels(device)) {
        found.push_back({device, level.name, level.missing});
      }
    }
    return found;
  }();
  return subjects;
}

std::vector<float> RandomValues(uint64_t seed, int64_t count, float scale) {
  std::vector<float> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const auto place = static_cast<uint64_t>(8 * i);
    double sum = -2;
    for (uint64_t j = 0; j < 4; ++j) sum += RandomUniform(seed, place + j);
    const double kind = RandomUniform(seed, place + 4);
    values[i] = kind < 0.02 ? 0.0f : static_cast<float>(sum * (kind > 0.98 ? 10 : 1)) * scale;
  }
  return values;
}

GuardedMatrix::GuardedMatrix(Device& device, int64_t rows, int64_t cols) : device_(device) {
  whole_.rows = rows + 2 * kGuardRows;
  whole_.cols = whole_.stride = cols + 2 * kGuardCols;
  buffer_ = device.Allocate(static_cast<size_t>(whole_.rows * whole_.cols) * sizeof(float));
  whole_.buffer = buffer_.get();
  view_ = whole_.Rows(kGuardRows, kGuardRows + rows).Cols(kGuardCols, kGuardCols + cols);
  const std::vector<float> guards(static_cast<size_t>(whole_.rows * whole_.cols), kNaN);
  device.Upload(guards, whole_);
}

GuardedMatrix::GuardedMatrix(Device& device, int64_t rows, int64_t cols,
                             std::span<const float> values)
    : GuardedMatrix(device, rows, cols) {
  device.Upload(values, view_);
}

std::vector<float> GuardedMatrix::Read() const {
  std::vector<float> all(static_cast<size_t>(whole_.rows * whole_.cols));
  device_.Download(whole_, all);
  std::vector<float> values;
  int num_changed = 0;
  for (int64_t row = 0; row < whole_.rows; ++row) {
    for (int64_t col = 0; col < whole_.cols; ++col) {
      const float value = all[row * whole_.cols + col];
      const bool is_inside = row >= kGuardRows && row < kGuardRows + view_.rows &&
                             col >= kGuardCols && col < kGuardCols + view_.cols;
      if (is_inside) {
        values.push_back(value);
      } else if (std::bit_cast<uint32_t>(value) != std::bit_cast<uint32_t>(kNaN)) {
        if (num_changed++ == 0) {
          ADD_FAILURE() << "wrote outside: " << value << " at row " << row - kGuardRows
                        << ", column " << col - kGuardCols << " of [" << view_.rows << ", "
                        << view_.cols << "]";
        }
      }
    }
  }
  return values;
}

void ExpectWithin(const OpCase& op, std::span<const float> expected,
                  std::span<const float> actual) {
  const std::vector<double> bounds = op.Bounds();
  const auto count = static_cast<size_t>(op.rows() * op.cols());
  ASSERT_EQ(expected.size(), count) << op.name();
  ASSERT_EQ(actual.size(), count) << op.name();
  ASSERT_EQ(bounds.size(), count) << op.name();
  size_t num_outside = 0;
  size_t worst = 0;
  double worst_ratio = 0;
  for (size_t i = 0; i < count; ++i) {
    double ratio = 0;
    if (std::isnan(expected[i]) || std::isinf(expected[i])) {
      const bool is_same =
          std::isnan(expected[i]) ? std::isnan(actual[i]) : expected[i] == actual[i];
      if (!is_same) ratio = INFINITY;
    } else {
      const double error = std::fabs(double{actual[i]} - double{expected[i]});
      // Negated so that a NaN counts; the judge's own rounding to f32 is half a unit.
      const double bound = bounds[i] + (bounds[i] > 0 ? kUnit * std::fabs(expected[i]) : 0);
      if (!(error <= bound)) ratio = error / bound;
      if (std::isnan(ratio)) ratio = INFINITY;
    }
    if (ratio > 0) ++num_outside;
    if (ratio > worst_ratio) {
      worst_ratio = ratio;
      worst = i;
    }
  }
  EXPECT_EQ(num_outside, 0u) << op.name() << ": worst at row "
                             << worst / static_cast<size_t>(op.cols()) << ", column "
                             << worst % static_cast<size_t>(op.cols()) << ": expected "
                             << expected[worst] << ", actual " << actual[worst] << ", bound "
                             << bounds[worst] << "; " << num_outside << " of " << count
                             << " outside";
}

void ExpectSameBits(const std::string& what, int64_t cols, std::span<const float> expected,
                    std::span<const float> actual) {
  ASSERT_EQ(expected.size(), actual.size()) << what;
  size_t num_different = 0;
  size_t first = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::bit_cast<uint32_t>(expected[i]) == std::bit_cast<uint32_t>(actual[i])) continue;
    if (num_different++ == 0) first = i;
  }
  EXPECT_EQ(num_different, 0u) << what << ": first at row " << first / static_cast<size_t>(cols)
                               << ", column " << first % static_cast<size_t>(cols) << ": "
                               << expected[first] << " and " << actual[first] << "; "
                               << num_different << " of " << expected.size() << " differ";
}

namespace {

std::vector<std::byte> EncodeAll(Format format, std::span<const float> values) {
  std::vector<std::byte> bytes(static_cast<size_t>(StoredBytes(format, std::ssize(values))));
  Encode(format, values, bytes);
  return bytes;
}

// Where a super-block keeps its f16 scale, and its f16 minimum's scale or -1.
std::pair<int, int> ScaleOffsets(Format format) {
  switch (format) {
    case Format::kQ2_K:
      return {80, 82};
    case Format::kQ3_K:
      return {108, -1};
    case Format::kQ6_K:
      return {208, -1};
    case Format::kQ4_K:
    case Format::kQ5_K:
      return {0, 2};
    default:
      return {0, -1};
  }
}

}  // namespace

OwnedTensor::OwnedTensor(std::string name, Format format, Shape shape,
                         std::span<const float> values)
    : OwnedTensor(std::move(name), format, shape, EncodeAll(format, values)) {}

OwnedTensor::OwnedTensor(std::string name, Format format, Shape shape, std::vector<std::byte> bytes)
    : name_(std::move(name)),
      bytes_(std::move(bytes)),
      decoded_(static_cast<size_t>(shape.NumValues())) {
  Decode(format, bytes_, decoded_);
  view_ = {name_, format, shape, bytes_, Info(format).name};
}

OwnedTensor OwnedTensor::RandomBlocks(std::string name, Format format, Shape shape, uint64_t seed,
                                      float scale) {
  std::vector<std::byte> bytes(static_cast<size_t>(StoredBytes(format, shape.NumValues())));
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(RandomBits(seed, i) & 0xff);
  }
  const auto [first, second] = ScaleOffsets(format);
  const auto block_bytes = static_cast<size_t>(Info(format).block_bytes);
  for (size_t block = 0; block < bytes.size(); block += block_bytes) {
    for (const int offset : {first, second}) {
      if (offset < 0) continue;
      const double u = RandomUniform(seed + 1, block + static_cast<size_t>(offset));
      StoreAs(&bytes[block + static_cast<size_t>(offset)],
              F32ToF16(scale * static_cast<float>(0.5 + u)));
    }
  }
  return {std::move(name), format, shape, std::move(bytes)};
}

}  // namespace retort::conformance
