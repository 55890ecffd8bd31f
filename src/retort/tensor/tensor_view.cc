#include "retort/tensor/tensor_view.h"

#include <array>
#include <cmath>
#include <vector>

#include "retort/base/error.h"
#include "retort/tensor/float_bits.h"

namespace retort {
namespace {

// Where a block keeps its f16 scales; -1 where there is none. MXFP4 is absent: its scale is a power
// of two, which cannot be anything else.
struct ScaleOffsets {
  Format format;
  int first;
  int second;
};
constexpr std::array<ScaleOffsets, 14> kScaleOffsets = {{
    {Format::kQ4_0, 0, -1},
    {Format::kQ4_1, 0, 2},
    {Format::kQ5_0, 0, -1},
    {Format::kQ5_1, 0, 2},
    {Format::kQ8_0, 0, -1},
    {Format::kIQ4_NL, 0, -1},
    {Format::kQ2_K, 80, 82},
    {Format::kQ3_K, 108, -1},
    {Format::kQ4_K, 0, 2},
    {Format::kQ5_K, 0, 2},
    {Format::kQ6_K, 208, -1},
    {Format::kIQ4_XS, 0, -1},
    {Format::kTQ1_0, 52, -1},
    {Format::kTQ2_0, 64, -1},
}};

bool IsFiniteHalf(const std::byte* bytes) { return (LoadAs<uint16_t>(bytes) & 0x7c00) != 0x7c00; }

void CheckBlockScales(const TensorView& tensor, const ScaleOffsets& scales) {
  const auto block_bytes = static_cast<size_t>(Info(tensor.format).block_bytes);
  for (size_t begin = 0; begin + block_bytes <= tensor.bytes.size(); begin += block_bytes) {
    const std::byte* block = &tensor.bytes[begin];
    if (!IsFiniteHalf(block + scales.first) ||
        (scales.second >= 0 && !IsFiniteHalf(block + scales.second))) {
      Throw(ErrorCode::kCorrupt, "tensor '{}' ({} {}): the scale of block {} is not finite",
            tensor.name, Info(tensor.format).name, tensor.shape.ToString(), begin / block_bytes);
    }
  }
}

void CheckDenseValues(const TensorView& tensor, int64_t values_max) {
  const int64_t num_values = tensor.shape.NumValues();
  if (num_values > values_max) return;
  std::vector<float> values(static_cast<size_t>(num_values));
  Decode(tensor.format, tensor.bytes, values);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      Throw(ErrorCode::kCorrupt, "tensor '{}' ({} {}): value {} is not finite", tensor.name,
            Info(tensor.format).name, tensor.shape.ToString(), i);
    }
  }
}

}  // namespace

int64_t RowBytes(const TensorView& tensor) {
  if (tensor.format == Format::kUnsupported) {
    Throw(ErrorCode::kUnsupported, "tensor '{}' is stored as {}, which this build cannot read",
          tensor.name, tensor.source_type);
  }
  const int64_t row_values = tensor.shape.RowValues();
  const FormatInfo& info = Info(tensor.format);
  if (row_values % info.block_values != 0) {
    Throw(ErrorCode::kInvalid, "tensor '{}' {}: rows of {} values are no whole number of {} blocks",
          tensor.name, tensor.shape.ToString(), row_values, info.name);
  }
  return StoredBytes(tensor.format, row_values);
}

void DecodeRows(const TensorView& tensor, int64_t row_begin, int64_t row_end, float* out) {
  const int64_t row_bytes = RowBytes(tensor);
  const FormatInfo& info = Info(tensor.format);
  if (info.decode == nullptr) {
    Throw(ErrorCode::kUnsupported, "tensor '{}' holds {}, which are not numbers of a matrix",
          tensor.name, info.name);
  }
  int64_t end_byte = 0;
  if (row_begin < 0 || row_end < row_begin || row_end > tensor.shape.NumRows() ||
      __builtin_mul_overflow(row_end, row_bytes, &end_byte) ||
      end_byte > static_cast<int64_t>(tensor.bytes.size())) {
    Throw(ErrorCode::kInvalid, "tensor '{}' {}: rows [{}, {}) are outside its {} bytes",
          tensor.name, tensor.shape.ToString(), row_begin, row_end, tensor.bytes.size());
  }
  const auto num_rows = static_cast<size_t>(row_end - row_begin);
  const std::span<const std::byte> rows = tensor.bytes.subspan(
      static_cast<size_t>(row_begin * row_bytes), num_rows * static_cast<size_t>(row_bytes));
  info.decode(rows, {out, num_rows * static_cast<size_t>(tensor.shape.RowValues())});
}

void CheckFinite(const TensorView& tensor, int64_t values_max) {
  for (const ScaleOffsets& scales : kScaleOffsets) {
    if (scales.format == tensor.format) return CheckBlockScales(tensor, scales);
  }
  if (Info(tensor.format).block_values == 1 && Info(tensor.format).decode != nullptr)
    CheckDenseValues(tensor, values_max);
}

}  // namespace retort
