#include "retort/checkpoint/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "retort/base/error.h"

namespace retort {
namespace {

using ::testing::HasSubstr;

// Writes GGUF headers, right or wrong.
class Writer {
 public:
  template <typename T>
  Writer& Number(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Writer& Raw(std::string_view bytes) {
    text_ += bytes;
    return *this;
  }
  Writer& String(std::string_view text) { return Number(uint64_t{text.size()}).Raw(text); }
  Writer& Header(uint64_t num_tensors, uint64_t num_keys, uint32_t version = 3) {
    return Raw("GGUF").Number(version).Number(num_tensors).Number(num_keys);
  }
  Writer& Key(std::string_view name, uint32_t type) { return String(name).Number(type); }
  Writer& Tensor(std::string_view name, std::vector<uint64_t> dims, uint32_t type,
                 uint64_t offset) {
    String(name).Number(static_cast<uint32_t>(dims.size()));
    for (uint64_t dim : dims) Number(dim);
    return Number(type).Number(offset);
  }
  Writer& Pad(size_t alignment = 32) {
    text_.resize((text_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  Writer& Zeros(size_t count) { return Raw(std::string(count, '\0')); }
  const std::string& text() const { return text_; }
  operator std::string() const { return text_; }  // NOLINT: a table of files reads better

 private:
  std::string text_;
};

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

Error Refusal(const std::string& file) {
  try {
    ParseGguf(Bytes(file), "x.gguf");
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("'x.gguf'"));
    return error;
  }
  return Error(ErrorCode::kInternal, "accepted");
}

TEST(GgufTest, ReadsEveryKindOfValue) {
  const std::string file = Writer()
                               .Header(0, 16)
                               .Key("u8", 0)
                               .Number(uint8_t{255})
                               .Key("i8", 1)
                               .Number(int8_t{-128})
                               .Key("u16", 2)
                               .Number(uint16_t{65535})
                               .Key("i16", 3)
                               .Number(int16_t{-2})
                               .Key("u32", 4)
                               .Number(uint32_t{4000000000})
                               .Key("i32", 5)
                               .Number(int32_t{-3})
                               .Key("f32", 6)
                               .Number(0.5f)
                               .Key("true", 7)
                               .Number(uint8_t{1})
                               .Key("false", 7)
                               .Number(uint8_t{0})
                               .Key("string", 8)
                               .String("text\xff")
                               .Key("u64", 10)
                               .Number(std::numeric_limits<uint64_t>::max())
                               .Key("i64", 11)
                               .Number(std::numeric_limits<int64_t>::min())
                               .Key("f64", 12)
                               .Number(1e300)
                               .Key("strings", 9)
                               .Number(uint32_t{8})
                               .Number(uint64_t{2})
                               .String("")
                               .String("b")
                               .Key("none", 9)
                               .Number(uint32_t{4})
                               .Number(uint64_t{0})
                               .Key("nested", 9)
                               .Number(uint32_t{9})
                               .Number(uint64_t{1})
                               .Number(uint32_t{1})
                               .Number(uint64_t{1})
                               .Number(int8_t{-1});
  const Json metadata = ParseGguf(Bytes(file), "x").metadata;
  EXPECT_EQ(metadata["u8"], 255);
  EXPECT_EQ(metadata["i8"], -128);
  EXPECT_EQ(metadata["u16"], 65535);
  EXPECT_EQ(metadata["i16"], -2);
  EXPECT_EQ(metadata["u32"], 4000000000);
  EXPECT_EQ(metadata["i32"], -3);
  EXPECT_EQ(metadata["f32"], 0.5);
  EXPECT_EQ(metadata["true"], true);
  EXPECT_EQ(metadata["false"], false);
  EXPECT_EQ(metadata["string"].get<std::string>(), "text\xff");
  EXPECT_EQ(metadata["u64"], std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(metadata["i64"], std::numeric_limits<int64_t>::min());
  EXPECT_EQ(metadata["f64"], 1e300);
  EXPECT_EQ(metadata["strings"], Json::array({"", "b"}));
  EXPECT_EQ(metadata["none"], Json::array());
  EXPECT_EQ(metadata["nested"], Json::array({Json::array({-1})}));
  EXPECT_EQ(metadata.begin().key(), "u8");  // the file's order is kept
}

TEST(GgufTest, TurnsShapesAndAppliesTheAlignment) {
  const std::string file = Writer()
                               .Header(3, 1)
                               .Key("general.alignment", 4)
                               .Number(uint32_t{64})
                               .Tensor("norm", {3}, 0, 0)
                               .Tensor("w", {32, 2}, 8, 64)
                               .Tensor("iq", {256}, 16, 192)
                               .Pad(64)
                               .Zeros(192 + 66);
  const WeightFile parsed = ParseGguf(Bytes(file), "x");
  ASSERT_EQ(parsed.tensors.size(), 3);
  EXPECT_EQ(parsed.tensors[0].bytes.size(), 12);
  EXPECT_EQ(parsed.tensors[1].shape, Shape({2, 32}));
  EXPECT_EQ(parsed.tensors[1].format, Format::kQ8_0);
  EXPECT_EQ(parsed.tensors[1].bytes.size(), 68);
  EXPECT_EQ(parsed.tensors[1].bytes.data() - parsed.tensors[0].bytes.data(), 64);
  EXPECT_EQ(parsed.tensors[2].format, Format::kUnsupported);
  EXPECT_EQ(parsed.tensors[2].source_type, "IQ2_XXS");
  EXPECT_EQ(parsed.tensors[2].bytes.size(), 66);
}

TEST(GgufTest, ATensorOfAnUnknownTypeReachesToTheNextOne) {
  const std::string file =
      Writer().Header(2, 0).Tensor("x", {8}, 99, 0).Tensor("y", {2}, 1, 64).Pad().Zeros(68);
  const WeightFile parsed = ParseGguf(Bytes(file), "x");
  EXPECT_EQ(parsed.tensors[0].format, Format::kUnsupported);
  EXPECT_EQ(parsed.tensors[0].source_type, "GGUF type 99");
  EXPECT_EQ(parsed.tensors[0].bytes.size(), 64);
  EXPECT_EQ(parsed.tensors[1].bytes.size(), 4);
}

TEST(GgufTest, RefusesWhatContradictsItself) {
  const auto array = [](uint32_t type, uint64_t count) {
    return Writer().Header(0, 1).Key("k", 9).Number(type).Number(count);
  };
  const auto aligned = [](uint32_t alignment) {
    return Writer().Header(0, 1).Key("general.alignment", 4).Number(alignment);
  };
  const auto tensor = [](std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
    return Writer().Header(1, 0).Tensor("w", std::move(dims), type, offset).Pad().Zeros(64);
  };
  const uint64_t huge = uint64_t{1} << 62;
  const struct {
    std::string file;
    ErrorCode code;
    std::string_view reason;
  } cases[] = {
      {"", ErrorCode::kCorrupt, "magic"},
      {"GGML0000", ErrorCode::kCorrupt, "expected the magic number"},
      {Writer().Header(0, 0, 1), ErrorCode::kUnsupported, "found 1"},
      {Writer().Header(0, 0, 4), ErrorCode::kUnsupported, "found 4"},
      {Writer().Header(0, 0, 0x03000000), ErrorCode::kUnsupported, "big-endian"},
      {Writer().Header(1, 0), ErrorCode::kCorrupt, "1 tensors cannot"},
      {Writer().Header(UINT64_MAX, 0), ErrorCode::kCorrupt, "cannot be described"},
      {Writer().Header(0, UINT64_MAX), ErrorCode::kCorrupt, "at most 4096"},
      {Writer().Header(0, 1), ErrorCode::kCorrupt, "a key"},
      {Writer().Header(0, 1).Number(UINT64_MAX), ErrorCode::kCorrupt, "at most 65535"},
      {Writer().Header(0, 1).Key("", 4).Number(1), ErrorCode::kCorrupt, "is empty"},
      {Writer().Header(0, 1).Key("k", 13).Number(uint64_t{1}), ErrorCode::kCorrupt, "type 13"},
      {Writer().Header(0, 1).Key("k", 7).Number(uint8_t{2}), ErrorCode::kCorrupt, "no boolean"},
      {Writer().Header(0, 1).Key("k", 8).Number(UINT64_MAX), ErrorCode::kCorrupt, "k at byte"},
      {Writer().Header(0, 2).Key("k", 0).Raw("1").Key("k", 0).Raw("1"), ErrorCode::kCorrupt,
       "twice"},
      {array(4, UINT64_MAX), ErrorCode::kCorrupt, "do not fit"},
      {array(8, 2).Number(uint64_t{0}), ErrorCode::kCorrupt, "do not fit"},
      {array(77, 0), ErrorCode::kCorrupt, "type 77"},
      {array(0, (1 << 22) + 1).Zeros((1 << 22) + 1), ErrorCode::kExhausted, "array elements"},
      {array(9, 1)
           .Number(uint32_t{9})
           .Number(uint64_t{1})
           .Number(uint32_t{9})
           .Number(uint64_t{1})
           .Number(uint32_t{9})
           .Number(uint64_t{1})
           .Number(uint32_t{0})
           .Number(uint64_t{0}),
       ErrorCode::kCorrupt, "nested deeper"},
      {aligned(0), ErrorCode::kCorrupt, "power of two"},
      {aligned(48), ErrorCode::kCorrupt, "power of two"},
      {aligned(1u << 31), ErrorCode::kCorrupt, "power of two"},
      {Writer().Header(0, 1).Key("general.alignment", 8).String("32"), ErrorCode::kCorrupt,
       "power"},
      {Writer().Header(0, 1).Key("split.count", 2).Number(uint16_t{3}), ErrorCode::kUnsupported,
       "3 parts"},
      {tensor({1, 1, 1, 1, 1}, 0, 0), ErrorCode::kCorrupt, "at most 4"},
      {tensor({UINT64_MAX}, 0, 0), ErrorCode::kCorrupt, "63 bits"},
      {tensor({huge, 4}, 0, 0), ErrorCode::kCorrupt, "63 bits"},
      {tensor({huge}, 0, 0), ErrorCode::kCorrupt, "63 bits"},
      {tensor({33}, 8, 0), ErrorCode::kCorrupt, "no whole number of Q8_0 blocks"},
      {tensor({4}, 0, 32), ErrorCode::kCorrupt, "expected 0"},
      {tensor({17}, 0, 0), ErrorCode::kCorrupt, "cut off"},
      {tensor({4}, 99, UINT64_MAX), ErrorCode::kCorrupt, "expected 0"},
      {Writer().Header(2, 0).Tensor("w", {1}, 0, 0).Tensor("w", {1}, 0, 32).Pad().Zeros(64),
       ErrorCode::kCorrupt, "'w' is there twice"},
      {Writer().Header(2, 0).Tensor("v", {1}, 0, 0).Tensor("w", {1}, 0, 0).Pad().Zeros(64),
       ErrorCode::kCorrupt, "expected 32"},
      {Writer().Header(2, 0).Tensor("v", {1}, 99, 0).Tensor("w", {1}, 0, huge).Pad().Zeros(64),
       ErrorCode::kCorrupt, "cut off"},
  };
  for (const auto& [file, code, reason] : cases) {
    const Error error = Refusal(file);
    EXPECT_EQ(error.code(), code) << error.message();
    EXPECT_THAT(error.message(), HasSubstr(reason));
  }
}

// What is at a bound is read, what is beyond it refused.
TEST(GgufTest, KeepsItsBounds) {
  const auto accepts = [](const std::string& file) {
    ParseGguf(Bytes(file), "x.gguf");
    return true;
  };
  const auto keys = [](uint64_t count) {
    Writer writer = Writer().Header(0, count);
    for (uint64_t i = 0; i < count; ++i) writer.Key("k" + std::to_string(i), 0).Raw("1");
    return writer.text();
  };
  EXPECT_TRUE(accepts(keys(kGgufKeysMax)));
  EXPECT_EQ(Refusal(keys(kGgufKeysMax + 1)).code(), ErrorCode::kCorrupt);

  const auto named = [](size_t length) {
    return Writer().Header(0, 1).Key(std::string(length, 'k'), 0).Raw("1").text();
  };
  EXPECT_TRUE(accepts(named(kGgufNameBytesMax)));
  EXPECT_EQ(Refusal(named(kGgufNameBytesMax + 1)).code(), ErrorCode::kCorrupt);

  // The elements of all arrays count together.
  const auto arrays = [](uint64_t first, uint64_t second) {
    return Writer()
        .Header(0, 2)
        .Key("a", 9)
        .Number(uint32_t{0})
        .Number(first)
        .Zeros(first)
        .Key("b", 9)
        .Number(uint32_t{0})
        .Number(second)
        .Zeros(second)
        .text();
  };
  EXPECT_TRUE(accepts(arrays(kGgufArrayElementsMax, 0)));
  EXPECT_TRUE(accepts(arrays(kGgufArrayElementsMax - 5, 5)));
  EXPECT_EQ(Refusal(arrays(kGgufArrayElementsMax - 5, 6)).code(), ErrorCode::kExhausted);
  EXPECT_EQ(Refusal(arrays(6, kGgufArrayElementsMax - 5)).code(), ErrorCode::kExhausted);

  const auto nested = [](int depth) {  // an array of arrays ... of no numbers
    Writer writer = Writer().Header(0, 1).Key("k", 9);
    for (int i = 1; i < depth; ++i) writer.Number(uint32_t{9}).Number(uint64_t{1});
    return writer.Number(uint32_t{0}).Number(uint64_t{0}).text();
  };
  EXPECT_TRUE(accepts(nested(kGgufArrayDepthMax)));
  EXPECT_EQ(Refusal(nested(kGgufArrayDepthMax + 1)).code(), ErrorCode::kCorrupt);

  const auto aligned = [](uint64_t alignment) {
    return Writer().Header(0, 1).Key("general.alignment", 10).Number(alignment).text();
  };
  EXPECT_TRUE(accepts(aligned(1)));
  EXPECT_TRUE(accepts(aligned(kGgufAlignmentMax)));
  EXPECT_EQ(Refusal(aligned(2 * kGgufAlignmentMax)).code(), ErrorCode::kCorrupt);

  const auto parts = [](uint16_t count) {
    return Writer().Header(0, 1).Key("split.count", 2).Number(count).text();
  };
  EXPECT_TRUE(accepts(parts(1)));
  EXPECT_EQ(Refusal(parts(2)).code(), ErrorCode::kUnsupported);
}

TEST(GgufTest, RefusesEveryTruncation) {
  const std::string file = Writer()
                               .Header(1, 2)
                               .Key("tokens", 9)
                               .Number(uint32_t{8})
                               .Number(uint64_t{2})
                               .String("a")
                               .String("bc")
                               .Key("n", 10)
                               .Number(uint64_t{1})
                               .Tensor("w", {8}, 0, 0)
                               .Pad()
                               .Zeros(32);
  ParseGguf(Bytes(file), "x");
  for (size_t length = 0; length < file.size(); ++length) {
    EXPECT_EQ(Refusal(file.substr(0, length)).code(), ErrorCode::kCorrupt) << length;
  }
}

}  // namespace
}  // namespace retort
