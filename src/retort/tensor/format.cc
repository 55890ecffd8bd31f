#include "retort/tensor/format.h"

#include <array>

#include "retort/base/error.h"
#include "retort/tensor/codecs.h"

namespace retort {
namespace {

using namespace codec;  // NOLINT: the table reads better without the prefix

// The one list of storage formats. A new one is a codec_NAME.cc, a line here (and its enumerator
// and declaration), and a case in format_test.cc. Layouts: docs of each codec file.
constexpr std::array<FormatInfo, kNumFormats> kFormats = {{
    // format, name, values per block, bytes per block, decode, encode
    {Format::kF32, "F32", 1, 4, DecodeF32, EncodeF32},
    {Format::kF16, "F16", 1, 2, DecodeF16, EncodeF16},
    {Format::kBF16, "BF16", 1, 2, DecodeBF16, EncodeBF16},
    {Format::kF64, "F64", 1, 8, DecodeF64, nullptr},
    {Format::kF8E4M3, "F8_E4M3", 1, 1, DecodeF8E4M3, nullptr},
    {Format::kF8E5M2, "F8_E5M2", 1, 1, DecodeF8E5M2, nullptr},
    {Format::kI8, "I8", 1, 1, nullptr, nullptr},
    {Format::kU8, "U8", 1, 1, nullptr, nullptr},
    {Format::kI16, "I16", 1, 2, nullptr, nullptr},
    {Format::kU16, "U16", 1, 2, nullptr, nullptr},
    {Format::kI32, "I32", 1, 4, nullptr, nullptr},
    {Format::kU32, "U32", 1, 4, nullptr, nullptr},
    {Format::kI64, "I64", 1, 8, nullptr, nullptr},
    {Format::kU64, "U64", 1, 8, nullptr, nullptr},
    {Format::kBool, "BOOL", 1, 1, nullptr, nullptr},
    {Format::kQ4_0, "Q4_0", 32, 18, DecodeQ4_0, EncodeQ4_0},
    {Format::kQ4_1, "Q4_1", 32, 20, DecodeQ4_1, EncodeQ4_1},
    {Format::kQ5_0, "Q5_0", 32, 22, DecodeQ5_0, EncodeQ5_0},
    {Format::kQ5_1, "Q5_1", 32, 24, DecodeQ5_1, EncodeQ5_1},
    {Format::kQ8_0, "Q8_0", 32, 34, DecodeQ8_0, EncodeQ8_0},
    {Format::kIQ4_NL, "IQ4_NL", 32, 18, DecodeIQ4_NL, nullptr},
    {Format::kMXFP4, "MXFP4", 32, 17, DecodeMXFP4, nullptr},
    {Format::kQ2_K, "Q2_K", 256, 84, DecodeQ2_K, nullptr},
    {Format::kQ3_K, "Q3_K", 256, 110, DecodeQ3_K, nullptr},
    {Format::kQ4_K, "Q4_K", 256, 144, DecodeQ4_K, nullptr},
    {Format::kQ5_K, "Q5_K", 256, 176, DecodeQ5_K, nullptr},
    {Format::kQ6_K, "Q6_K", 256, 210, DecodeQ6_K, nullptr},
    {Format::kIQ4_XS, "IQ4_XS", 256, 136, DecodeIQ4_XS, nullptr},
    {Format::kTQ1_0, "TQ1_0", 256, 54, DecodeTQ1_0, nullptr},
    {Format::kTQ2_0, "TQ2_0", 256, 66, DecodeTQ2_0, nullptr},
    {Format::kUnsupported, "unsupported", 0, 0, nullptr, nullptr},
}};

constexpr bool InEnumOrder() {
  for (int i = 0; i < kNumFormats; ++i) {
    if (kFormats[i].format != static_cast<Format>(i)) return false;
  }
  return true;
}
static_assert(InEnumOrder(), "a row of kFormats is missing or out of order");

void CheckSizes(const FormatInfo& info, size_t num_bytes, size_t num_values) {
  if (num_values % info.block_values != 0 ||
      num_bytes / info.block_bytes != num_values / info.block_values ||
      num_bytes % info.block_bytes != 0) {
    Throw(ErrorCode::kInvalid, "{}: {} bytes do not hold {} values ({} bytes per block of {})",
          info.name, num_bytes, num_values, info.block_bytes, info.block_values);
  }
}

}  // namespace

const FormatInfo& Info(Format format) { return kFormats[static_cast<size_t>(format)]; }

std::span<const FormatInfo> AllFormats() { return kFormats; }

int64_t StoredBytes(Format format, int64_t num_values) {
  const FormatInfo& info = Info(format);
  if (info.block_values == 0) {
    Throw(ErrorCode::kUnsupported, "the size of an unsupported storage format is not known");
  }
  if (num_values < 0 || num_values % info.block_values != 0) {
    Throw(ErrorCode::kInvalid, "{} values are no whole number of {} blocks of {}", num_values,
          info.name, info.block_values);
  }
  int64_t bytes = 0;
  if (__builtin_mul_overflow(num_values / info.block_values, info.block_bytes, &bytes)) {
    Throw(ErrorCode::kInvalid, "{} values of {} do not fit in 63 bits of bytes", num_values,
          info.name);
  }
  return bytes;
}

void Decode(Format format, std::span<const std::byte> blocks, std::span<float> out) {
  const FormatInfo& info = Info(format);
  if (info.decode == nullptr) {
    Throw(ErrorCode::kUnsupported, "storage format {} cannot be decoded to numbers", info.name);
  }
  CheckSizes(info, blocks.size(), out.size());
  info.decode(blocks, out);
}

void Encode(Format format, std::span<const float> values, std::span<std::byte> out) {
  const FormatInfo& info = Info(format);
  if (info.encode == nullptr) {
    Throw(ErrorCode::kUnsupported, "storage format {} cannot be written", info.name);
  }
  CheckSizes(info, out.size(), values.size());
  info.encode(values, out);
}

}  // namespace retort
