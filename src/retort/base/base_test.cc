#include <gtest/gtest.h>

#include <fstream>

#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/json.h"
#include "retort/base/random.h"

namespace retort {
namespace {

TEST(Error, EveryCodeHasNameAndStatuses) {
  for (int i = 0; i < kNumErrorCodes; ++i) {
    const auto code = static_cast<ErrorCode>(i);
    EXPECT_FALSE(ErrorCodeName(code).empty());
    EXPECT_GE(ExitStatus(code), 2);
    EXPECT_GE(HttpStatus(code), 400);
  }
}

TEST(Sha256, PublishedVectors) {  // FIPS 180-4 examples
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, FieldsDoNotRunTogether) {
  EXPECT_NE(Sha256().Field("ab").Field("c").Hex(), Sha256().Field("a").Field("bc").Hex());
}

TEST(ParseJson, KeepsKeyOrder) {
  EXPECT_EQ(DumpJson(ParseJson(R"({"b":1,"a":{"z":[],"y":null}})", "t")),
            R"({"b":1,"a":{"z":[],"y":null}})");
}

TEST(ParseJson, NamesPlaceOfSyntaxError) {
  try {
    ParseJson("{\n  \"a\": 1,\n  oops\n}", "file.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    EXPECT_NE(error.message().find("file.json:3:"), std::string::npos) << error.message();
  }
}

TEST(ParseJson, RefusesDuplicateKeysDepthAndBadUtf8) {
  EXPECT_THROW(ParseJson(R"({"a":1,"a":2})", "t"), Error);
  EXPECT_THROW(ParseJson(std::string(100000, '['), "t"), Error);
  EXPECT_THROW(ParseJson("\"\xff\"", "t"), Error);
  EXPECT_THROW(ParseJson("", "t"), Error);
}

TEST(NearestName, FindsTyposOnly) {
  const std::vector<std::string> names = {"temperature", "top_k", "seed"};
  EXPECT_EQ(NearestName("temprature", names), "temperature");
  EXPECT_EQ(NearestName("sede", names), "seed");
  EXPECT_EQ(NearestName("zebra", names), "");
}

TEST(Random, IsAPureFunctionOfSeedAndPosition) {
  EXPECT_EQ(RandomBits(7, 3), RandomBits(7, 3));
  EXPECT_NE(RandomBits(7, 3), RandomBits(7, 4));
  EXPECT_NE(RandomBits(7, 3), RandomBits(8, 3));
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) sum += RandomUniform(1, i);
  // The mean of 10,000 uniforms has a standard deviation of 0.0029: six of them.
  EXPECT_NEAR(sum / 10000, 0.5, 0.0173);
}

class FileTest : public ::testing::Test {
 protected:
  std::filesystem::path folder_ = std::filesystem::path(::testing::TempDir()) /
                                  ::testing::UnitTest::GetInstance()->current_test_info()->name();
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
};

TEST_F(FileTest, AtomicWriteThenMapThenRead) {
  const auto path = folder_ / "file";
  WriteFileAtomically(path, "hello");
  WriteFileAtomically(path, "world!");
  EXPECT_EQ(ReadFile(path, 100), "world!");
  EXPECT_EQ(MappedFile(path).bytes().size(), 6u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  EXPECT_THROW(ReadFile(path, 3), Error);
}

TEST_F(FileTest, ErrorsNameThePath) {
  try {
    MappedFile file(folder_ / "absent");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(error.message().find("absent"), std::string::npos);
  }
  EXPECT_THROW(MappedFile{folder_}, Error);  // a folder
}

TEST_F(FileTest, AppendsWholeLines) {
  const auto path = folder_ / "log";
  { AppendFile(path).Append("a\n"); }
  { AppendFile(path).Append("b\n"); }
  EXPECT_EQ(ReadFile(path, 100), "a\nb\n");
}

}  // namespace
}  // namespace retort
