#include "retort/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "retort/base/error.h"

namespace retort {
namespace {

using ::testing::HasSubstr;

std::string File(std::string_view header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  file += header;
  for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string Refusal(const std::string& file) {
  try {
    ParseSafetensors(Bytes(file), "x.safetensors");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.message();
    EXPECT_THAT(error.message(), HasSubstr("'x.safetensors'"));
    return error.message();
  }
  return "accepted";
}

std::string One(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return fmt::format(R"({{"w":{{"dtype":"{}","shape":{},"data_offsets":{}}}}})", dtype, shape,
                     offsets);
}

TEST(SafetensorsTest, ListsTensorsInTheOrderOfTheirBytes) {
  const std::string file = File(R"({"__metadata__":{"format":"pt"},)"
                                R"("b":{"dtype":"U8","shape":[2,1],"data_offsets":[4,6]},)"
                                R"("empty":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},)"
                                R"("a\n":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   )",
                                6);
  const WeightFile parsed = ParseSafetensors(Bytes(file), "x");
  ASSERT_EQ(parsed.tensors.size(), 3);
  EXPECT_EQ(parsed.tensors[0].name, "a\n");
  EXPECT_EQ(parsed.tensors[0].shape, Shape());
  EXPECT_EQ(parsed.tensors[0].format, Format::kF32);
  EXPECT_EQ(parsed.tensors[1].name, "empty");
  EXPECT_EQ(parsed.tensors[2].name, "b");
  EXPECT_EQ(parsed.tensors[2].shape, Shape({2, 1}));
  EXPECT_EQ(static_cast<int>(parsed.tensors[2].bytes[1]), 5);
  EXPECT_EQ(parsed.metadata["format"], "pt");
}

TEST(SafetensorsTest, AFileMayBeAllHeader) {
  EXPECT_TRUE(ParseSafetensors(Bytes(File("{}", 0)), "x").tensors.empty());
}

TEST(SafetensorsTest, KeepsItsBounds) {
  std::string file = File("{}", 0);
  for (const uint64_t length : {kSafetensorsHeaderBytesMax, kSafetensorsHeaderBytesMax + 1}) {
    std::memcpy(file.data(), &length, 8);
    EXPECT_THAT(Refusal(file),
                HasSubstr(length > kSafetensorsHeaderBytesMax ? "at most 100000000 are allowed"
                                                              : "is the file cut off?"));
  }
  std::string shape = "[1";
  for (int i = 1; i < Shape::kRankMax; ++i) shape += ",1";
  EXPECT_EQ(ParseSafetensors(Bytes(File(One("U8", shape + "]", "[0,1]"), 1)), "x").tensors.size(),
            1u);
  EXPECT_THAT(Refusal(File(One("U8", shape + ",1]", "[0,1]"), 1)), HasSubstr("at most 8"));
}

TEST(SafetensorsTest, ListsDtypesItCannotComputeWith) {
  const std::string file = File(One("F4", "[4]", "[0,2]"), 2);
  const WeightFile parsed = ParseSafetensors(Bytes(file), "x");
  EXPECT_EQ(parsed.tensors[0].format, Format::kUnsupported);
  EXPECT_EQ(parsed.tensors[0].source_type, "F4");
}

TEST(SafetensorsTest, RefusesWhatContradictsItself) {
  const struct {
    std::string file;
    std::string_view reason;
  } cases[] = {
      {"", "at least 8 bytes"},
      {"1234567", "at least 8 bytes"},
      {std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8), "at most 100000000"},
      {std::string("\x02\0\0\0\0\0\0\0{", 9), "only 1 follow"},
      {File("", 0), "not valid JSON"},
      {File("[]", 0), "must be a JSON object"},
      {File("{\"a\":\"\xff\"}", 0), "not valid JSON"},
      {File("{}", 1), "end at byte 0"},
      {File(R"({"__metadata__":[]})", 0), "__metadata__"},
      {File(R"({"__metadata__":{"a":1}})", 0), "strings only"},
      {File(R"({"w":1})", 0), "must be an object"},
      {File(R"({"w":{"dtype":"U8","shape":[1]}})", 1), "needs"},
      {File(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1), "unknown member"},
      {File(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
            R"("w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
            2),
       "duplicate key"},
      {File(One("F3", "[1]", "[0,1]"), 1), "unknown dtype \"F3\""},
      {File(R"({"w":{"dtype":8,"shape":[1],"data_offsets":[0,1]}})", 1), "must be a string"},
      {File(One("U8", "1", "[0,1]"), 1), "must be an array"},
      {File(One("U8", "[-1]", "[0,1]"), 1), "integers from 0"},
      {File(One("U8", "[1.0]", "[0,1]"), 1), "integers from 0"},
      {File(One("U8", "[9223372036854775808]", "[0,1]"), 1), "integers from 0"},
      {File(One("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1), "at most 8"},
      {File(One("U8", "[1]", "[0]"), 1), "needs 2 numbers"},
      {File(One("U8", "[1]", "[0,1,2]"), 1), "at most 2"},
      {File(One("U8", "[1]", "[1,0]"), 1), "outside"},
      {File(One("U8", "[2]", "[0,2]"), 1), "outside the 1 bytes"},
      {File(One("U8", "[1]", "[0,9223372036854775807]"), 1), "outside"},
      {File(One("F32", "[1]", "[0,2]"), 2), "needs 4 bytes"},
      {File(One("F32", "[4294967296,4294967296]", "[0,0]"), 0), "63 bits"},
      {File(One("F64", "[1152921504606846976,1]", "[0,0]"), 0), "larger than 2^63 bits"},
      {File(One("F4", "[3]", "[0,2]"), 2), "whole number of bytes"},
      {File(One("U8", "[1]", "[1,2]"), 2), "a hole"},
      {File(One("U8", "[1]", "[0,1]"), 2), "end at byte 1"},
      {File(R"({"v":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
            R"("w":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
            3),
       "an overlap"},
      {File(std::string(1000, '['), 0), "nested deeper"},
  };
  for (const auto& [file, reason] : cases) EXPECT_THAT(Refusal(file), HasSubstr(reason));
}

// A valid file cut anywhere is refused.
TEST(SafetensorsTest, RefusesEveryTruncation) {
  const std::string file = File(One("F32", "[3]", "[0,12]"), 12);
  ParseSafetensors(Bytes(file), "x");
  for (size_t length = 0; length < file.size(); ++length) {
    EXPECT_NE(Refusal(file.substr(0, length)), "accepted") << length;
  }
}

}  // namespace
}  // namespace retort
