#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace retort {

// How the values of a tensor are stored. The order is that of the table in format.cc.
enum class Format : uint8_t {
  // Dense floating point: one value per block.
  kF32,
  kF16,
  kBF16,
  kF64,
  kF8E4M3,
  kF8E5M2,
  // Plain integers: carried (packed codes, index tables), never decoded to numbers of a matrix.
  kI8,
  kU8,
  kI16,
  kU16,
  kI32,
  kU32,
  kI64,
  kU64,
  kBool,
  // Blocks of 32 values along the innermost dimension: scale (and minimum) plus small integers.
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kIQ4_NL,
  kMXFP4,
  // Super-blocks of 256 values with quantised scales.
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_XS,
  kTQ1_0,
  kTQ2_0,
  // Known to be there, not known how to read: TensorView::source_type says what the file calls it.
  kUnsupported,
};

inline constexpr int kNumFormats = static_cast<int>(Format::kUnsupported) + 1;

// Decodes whole blocks: blocks.size() / block_bytes of them into as many times block_values floats.
using DecodeBlocks = void (*)(std::span<const std::byte> blocks, std::span<float> out);
// The reverse; the values must be finite. The rounding is the format's usual reference rounding.
using EncodeBlocks = void (*)(std::span<const float> values, std::span<std::byte> out);

struct FormatInfo {
  Format format;
  std::string_view name;
  int block_values;     // along the innermost dimension; 0 for kUnsupported
  int block_bytes;      // 0 for kUnsupported
  DecodeBlocks decode;  // nullptr: the values are not numbers of a matrix
  EncodeBlocks encode;  // nullptr: nothing here writes this format
};

// The table's row for `format`.
const FormatInfo& Info(Format format);

// All rows, in the order of the enum.
std::span<const FormatInfo> AllFormats();

// Bytes of `num_values` consecutive values. Throws Error{kInvalid} if they are no whole number of
// blocks or the size does not fit in 63 bits, {kUnsupported} for kUnsupported.
int64_t StoredBytes(Format format, int64_t num_values);

// Decodes `blocks` (whole blocks) to `out`. Throws Error{kUnsupported} for a format without decoder
// and {kInvalid} if the two sizes do not agree.
void Decode(Format format, std::span<const std::byte> blocks, std::span<float> out);

// Encodes `values` (whole blocks) to `out`; throws as Decode does.
void Encode(Format format, std::span<const float> values, std::span<std::byte> out);

}  // namespace retort
