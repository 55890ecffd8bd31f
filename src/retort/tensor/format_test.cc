#include "retort/tensor/format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/json.h"
#include "retort/base/random.h"
#include "retort/base/shared_data_test.h"
#include "retort/tensor/float_bits.h"

namespace retort {
namespace {

std::vector<std::byte> FromHex(const std::string& hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

const FormatInfo* FindFormat(std::string_view name) {
  for (const FormatInfo& info : AllFormats()) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

std::vector<float> Uniform(uint64_t seed, size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(RandomUniform(seed, i) * 2 - 1);
  }
  return values;
}

TEST(FormatTest, NamesAreUniqueAndBlocksFollowFromEachOther) {
  std::set<std::string_view> names;
  for (const FormatInfo& info : AllFormats()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    if (info.format == Format::kUnsupported) continue;
    EXPECT_EQ(StoredBytes(info.format, 3 * info.block_values), 3 * info.block_bytes) << info.name;
  }
}

// Every example of the public file whose format is in the table must decode to the same bits, and
// be encoded to the same bytes where an encoder is there.
TEST(FormatTest, AgreesWithPublishedExamplesToTheBit) {
  const auto path = SharedData() / "quantization/quant_examples.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no shared data at " << path;
  const Json examples = ParseJson(ReadFile(path, 1 << 24), path.string());
  std::set<std::string_view> judged;
  for (const auto& [key, example] : examples.items()) {
    if (!key.starts_with("gguf_") || !example.contains("ggml_c_dequant_full")) continue;
    const FormatInfo* info = FindFormat(key.substr(5));
    if (info == nullptr) continue;
    SCOPED_TRACE(key);
    const std::vector<std::byte> blocks = FromHex(example["bytes"]);
    std::vector<float> expected;
    for (const Json& value : example["ggml_c_dequant_full"]) expected.push_back(value.get<float>());
    std::vector<float> found(expected.size());
    Decode(info->format, blocks, found);
    EXPECT_EQ(found, expected);
    judged.insert(info->name);
    if (info->encode == nullptr) continue;
    ASSERT_EQ(example["x"], "(i-16)/8 for i in 0..31");
    std::vector<float> values(32);
    for (int i = 0; i < 32; ++i) values[i] = static_cast<float>(i - 16) / 8;
    std::vector<std::byte> encoded(blocks.size());
    Encode(info->format, values, encoded);
    EXPECT_EQ(encoded, blocks);
  }
  for (const FormatInfo& info : AllFormats()) {
    if (info.block_values > 1) {
      EXPECT_TRUE(judged.contains(info.name)) << info.name;
    }
  }
}

// Bounds for values in [-1, 1]. Forms with a minimum (range 2) err by half a step; forms whose
// extreme value gets the lowest code clamp the other end, a whole step; dense forms by half a unit
// in the last place. On top: the f16 rounding of scale and minimum, 2^-11 of at most 3 in
// magnitude.
TEST(FormatTest, EncodersStayWithinTheirStep) {
  const std::vector<std::pair<Format, double>> bounds = {
      {Format::kF32, 0},         {Format::kF16, 0x1p-12},   {Format::kBF16, 0x1p-9},
      {Format::kQ4_0, 1.0 / 8},  {Format::kQ4_1, 1.0 / 15}, {Format::kQ5_0, 1.0 / 16},
      {Format::kQ5_1, 1.0 / 31}, {Format::kQ8_0, 1.0 / 254}};
  size_t judged = 0;
  for (const auto& [format, bound] : bounds) {
    SCOPED_TRACE(Info(format).name);
    ++judged;
    const double slack = Info(format).block_values > 1 ? 3 * 0x1p-11 : 0;
    const std::vector<float> values = Uniform(7, 4096);
    std::vector<std::byte> blocks(static_cast<size_t>(StoredBytes(format, 4096)));
    Encode(format, values, blocks);
    std::vector<float> decoded(values.size());
    Decode(format, blocks, decoded);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(decoded[i], values[i], bound + slack) << i;
    }
    Encode(format, std::vector<float>(values.size()), blocks);
    Decode(format, blocks, decoded);
    for (float value : decoded) ASSERT_EQ(value, 0);
  }
  const auto has_encoder = [](const FormatInfo& info) { return info.encode != nullptr; };
  EXPECT_EQ(judged, std::count_if(AllFormats().begin(), AllFormats().end(), has_encoder));
}

TEST(FormatTest, EncodingSpecialValuesIsDefined) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const FormatInfo& info : AllFormats()) {
    if (info.encode == nullptr) continue;
    std::vector<float> values(static_cast<size_t>(info.block_values) * 32, infinity);
    for (size_t i = 0; i < values.size(); i += 3) values[i] = nan;
    for (size_t i = 1; i < values.size(); i += 3) values[i] = 3e38f;
    std::vector<std::byte> blocks(static_cast<size_t>(info.block_bytes) * 32);
    Encode(info.format, values, blocks);  // the sanitizers are the judge
  }
}

TEST(FormatTest, RefusesSizesThatDoNotAgree) {
  std::vector<std::byte> blocks(36);
  std::vector<float> values(64);
  Decode(Format::kQ4_0, blocks, values);
  EXPECT_THROW(Decode(Format::kQ4_0, std::span(blocks).first(35), values), Error);
  EXPECT_THROW(Decode(Format::kQ4_0, blocks, std::span(values).first(63)), Error);
  EXPECT_THROW(Decode(Format::kQ4_0, blocks, std::span(values).first(32)), Error);
  EXPECT_THROW(Encode(Format::kQ4_0, values, std::span(blocks).first(18)), Error);
  EXPECT_THROW(Decode(Format::kI8, blocks, std::span(values).first(36)), Error);
  EXPECT_THROW(Encode(Format::kQ6_K, values, blocks), Error);
  EXPECT_THROW(Decode(Format::kUnsupported, blocks, values), Error);
  EXPECT_THROW(StoredBytes(Format::kQ4_0, 33), Error);
  EXPECT_THROW(StoredBytes(Format::kF32, int64_t{1} << 62), Error);
  EXPECT_THROW(StoredBytes(Format::kF32, -1), Error);
  EXPECT_THROW(StoredBytes(Format::kUnsupported, 1), Error);
}

// Widening is judged by the definition of the format, computed in double.
double SmallFloat(int bits, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int sign = bits >> (exponent_bits + fraction_bits);
  const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, 1 - bias - fraction_bits)
                    : std::ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
  return sign != 0 ? -magnitude : magnitude;
}

TEST(FloatBitsTest, EveryHalfWidensAndComesBack) {
  for (int bits = 0; bits < 65536; ++bits) {
    const float value = F16ToF32(static_cast<uint16_t>(bits));
    if ((bits & 0x7c00) == 0x7c00) {
      const bool is_nan = (bits & 0x3ff) != 0;
      ASSERT_EQ(std::isnan(value), is_nan) << bits;
      ASSERT_EQ(std::isinf(value), !is_nan) << bits;
      ASSERT_EQ(F32ToF16(value), is_nan ? bits | 0x200 : bits);
      ASSERT_EQ(std::signbit(value), bits >= 0x8000);
      continue;
    }
    ASSERT_EQ(value, SmallFloat(bits, 5, 10)) << bits;
    ASSERT_EQ(std::signbit(value), bits >= 0x8000) << bits;
    ASSERT_EQ(F32ToF16(value), bits);
  }
}

// Between each half and the next: the middle goes to the even one, its neighbours to theirs.
TEST(FloatBitsTest, NarrowingToHalfRoundsToNearestEven) {
  for (int sign : {0, 0x8000}) {
    for (int bits = 0; bits < 0x7c00; ++bits) {
      const float low = F16ToF32(static_cast<uint16_t>(bits | sign));
      const float high = bits == 0x7bff ? std::copysign(65536.0f, low)
                                        : F16ToF32(static_cast<uint16_t>((bits + 1) | sign));
      const float middle = (low + high) / 2;  // 12 significant bits: exact in float
      ASSERT_EQ(F32ToF16(middle), (bits & 1 ? bits + 1 : bits) | sign) << bits;
      ASSERT_EQ(F32ToF16(std::nextafter(middle, low)), bits | sign) << bits;
      ASSERT_EQ(F32ToF16(std::nextafter(middle, high)), (bits + 1) | sign) << bits;
    }
  }
  EXPECT_EQ(F32ToF16(3e38f), 0x7c00);
  EXPECT_EQ(F32ToF16(std::bit_cast<float>(0x7f800001u)) & 0x7fff, 0x7e00);
}

TEST(FloatBitsTest, NarrowingToBrainFloatRoundsToNearestEven) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float exact = BF16ToF32(static_cast<uint16_t>(bits));
    ASSERT_EQ(std::bit_cast<uint32_t>(exact), bits << 16);
    if (std::isnan(exact)) {
      ASSERT_TRUE(std::isnan(BF16ToF32(F32ToBF16(exact))));
      continue;
    }
    ASSERT_EQ(F32ToBF16(exact), bits);
    if (std::isinf(exact)) continue;
    const auto narrow = [&](uint32_t rest) {
      return F32ToBF16(std::bit_cast<float>(bits << 16 | rest));
    };
    ASSERT_EQ(narrow(0x7fff), bits);
    ASSERT_EQ(narrow(0x8000), bits & 1 ? bits + 1 : bits);
    ASSERT_EQ(narrow(0x8001), bits + 1);
  }
  // Payload only in the bits that are cut off: must not become infinity.
  EXPECT_TRUE(std::isnan(BF16ToF32(F32ToBF16(std::bit_cast<float>(0x7f800001u)))));
}

TEST(FloatBitsTest, EveryEightBitFloatFollowsItsDefinition) {
  for (int bits = 0; bits < 256; ++bits) {
    const float e4m3 = F8E4M3ToF32(static_cast<uint8_t>(bits));
    if ((bits & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(e4m3));
    } else {
      EXPECT_EQ(e4m3, SmallFloat(bits, 4, 3)) << bits;
    }
    const float e5m2 = F8E5M2ToF32(static_cast<uint8_t>(bits));
    if ((bits & 0x7c) != 0x7c) {
      EXPECT_EQ(e5m2, SmallFloat(bits, 5, 2)) << bits;
    } else {
      EXPECT_EQ(std::isinf(e5m2), (bits & 3) == 0) << bits;
    }
  }
}

TEST(FloatBitsTest, DoubleNarrowsWithoutOverflowing) {
  const double in[] = {0.1, 1e300, -1e300, 0x1.fffffep127, 0x1p-200, std::nan("")};
  std::vector<float> out(std::size(in));
  Decode(Format::kF64, std::as_bytes(std::span(in)), out);
  EXPECT_EQ(out[0], 0.1f);
  EXPECT_EQ(out[1], std::numeric_limits<float>::infinity());
  EXPECT_EQ(out[2], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(out[3], std::numeric_limits<float>::max());
  EXPECT_EQ(out[4], 0);
  EXPECT_TRUE(std::isnan(out[5]));
}

}  // namespace
}  // namespace retort
