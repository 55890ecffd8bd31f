#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "retort/tensor/format.h"
#include "retort/tensor/shape.h"

namespace retort {

// A named tensor in somebody else's memory, row-major: the innermost dimension is contiguous and is
// the one that blocked formats block. Does not own its name or bytes; the checkpoint does.
struct TensorView {
  std::string_view name;
  Format format = Format::kUnsupported;
  Shape shape;
  // StoredBytes(format, shape.NumValues()) of them, at any alignment. For kUnsupported: the bytes
  // up to the next tensor.
  std::span<const std::byte> bytes;
  // What the file calls the format: "BF16", "Q4_0", "IQ2_XXS", "type 77".
  std::string_view source_type;
};

// Bytes of one row (the innermost dimension). Throws Error{kInvalid} if a row is no whole number of
// blocks, {kUnsupported} naming the tensor and its format if the format cannot be read.
int64_t RowBytes(const TensorView& tensor);

// Decodes rows [row_begin, row_end) of shape.RowValues() values each to `out`, which has room for
// them. Throws Error{kUnsupported} if the format has no decoder, {kInvalid} if the rows are outside
// the tensor; both name the tensor.
void DecodeRows(const TensorView& tensor, int64_t row_begin, int64_t row_end, float* out);

// Refuses a tensor whose block scales (or dense values, if it is small: at most `values_max` of
// them) are not finite: such a file decodes to NaN everywhere, far from its cause. Reads 2 to 4
// bytes per block. Throws Error{kCorrupt} naming tensor and block.
void CheckFinite(const TensorView& tensor, int64_t values_max = 1 << 20);

}  // namespace retort
