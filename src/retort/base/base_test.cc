#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <new>
#include <stdexcept>
#include <system_error>

#include "retort/base/data_json.h"
#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/home.h"
#include "retort/base/json.h"
#include "retort/base/mapped_file.h"
#include "retort/base/random.h"
#include "retort/base/scratch_folder_test.h"

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

TEST(Error, AFileSystemThatRefusesIsNoBugHere) {
  try {
    (void)std::filesystem::file_size("/no/such/file");
    FAIL();
  } catch (const std::exception&) {
    const Error error = CurrentError();
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_NE(error.message().find("/no/such/file"), std::string::npos);
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

// What ParseDataJson makes of a number, as JSON, or "error: " and the message.
std::string DataNumber(const std::string& number) {
  try {
    return DumpJson(ParseDataJson("[" + number + "]", "t").front());
  } catch (const Error& error) {
    return "error: " + error.message();
  }
}

TEST(ParseDataJson, KeepsIntegersOf64BitsAndRoundsDecimalsOnly) {
  for (const char* same :
       {"0", "-1", "9223372036854775807", "9223372036854775808", "18446744073709551615",
        "-9223372036854775808", "0.0", "-0.0", "1.5", "5e-324", "1.7976931348623157e+308"}) {
    EXPECT_EQ(DataNumber(same), same);
  }
  EXPECT_EQ(DataNumber("-0"), "0");
  EXPECT_EQ(DataNumber("0e-400"), "0.0");
  EXPECT_EQ(DataNumber("0.000"), "0.0");
  EXPECT_EQ(DataNumber("0.1000000000000000055511151231257827"), "0.1");
  EXPECT_EQ(DataNumber("1e30"), "1e+30");
}

TEST(ParseDataJson, RefusesNumbersOfWhichNothingLikeThemWouldBeLeft) {
  for (const std::string integer :
       {"18446744073709551616", "-9223372036854775809", "123456789012345678901234567890",
        "-123456789012345678901234567890"}) {
    EXPECT_EQ(DataNumber(integer), "error: t: the number " + integer +
                                       " is an integer of more than 64 bits; in quotes it is kept "
                                       "as text");
    EXPECT_NO_THROW(ParseJson(integer, "t"));  // as configs of checkpoints have them
  }
  for (const std::string tiny : {"1e-400", "-1E-400", "0.1e-400", "2.0e-324"}) {
    EXPECT_EQ(DataNumber(tiny), "error: t: the number " + tiny +
                                    " is a number nearer to zero than a double can be; in quotes "
                                    "it is kept as text");
  }
  EXPECT_NE(DataNumber("1E400").find("error: "), std::string::npos);
  // However deep.
  EXPECT_THROW(ParseDataJson(R"({"a":[{"b":0.0},{"b":1e-400}]})", "t"), Error);
  EXPECT_EQ(DumpJson(ParseDataJson(R"({"a":[{"b":0.0},{"b":"1e-400"}]})", "t")),
            R"({"a":[{"b":0.0},{"b":"1e-400"}]})");
}

TEST(ParseDataJson, SurrogatesComeInPairs) {
  EXPECT_EQ(DumpJson(ParseDataJson(R"(["\ud83d\ude00"])", "t")), "[\"😀\"]");
  for (const char* lone : {R"(["\ud83d"])", R"(["\ude00"])", R"(["\ude00\ud83d"])",
                           R"(["\ud83dx\ude00"])", R"({"\ud83d":1})"}) {
    EXPECT_THROW(ParseDataJson(lone, "t"), Error) << lone;
  }
  EXPECT_THROW(ParseDataJson(R"({"a":1,"\u0061":2})", "t"), Error);
}

TEST(ExpandTilde, OnlyALeadingTildeOfOnesOwn) {
  const char* before = std::getenv("HOME");
  const std::string home = before == nullptr ? "" : before;
  ::setenv("HOME", "/home/me", 1);
  EXPECT_EQ(ExpandTilde("~"), "/home/me");
  EXPECT_EQ(ExpandTilde("~/"), "/home/me");
  EXPECT_EQ(ExpandTilde("~/a/b"), "/home/me/a/b");
  for (const char* same : {"a", "a/~", "./~/a", "/a", ""}) {
    EXPECT_EQ(ExpandTilde(same), same);
  }
  EXPECT_THROW(ExpandTilde("~you/a"), Error);
  ::setenv("HOME", home.c_str(), 1);
}

// Two parsers share the work: what one reads, the other would read alike.
TEST(ParseJson, IsNlohmannsReading) {
  const std::string deepest = std::string(kJsonDepthMax, '[') + std::string(kJsonDepthMax, ']');
  for (const std::string text : {R"("")",
                                 "0",
                                 "-0",
                                 "-1",
                                 "1.0",
                                 "-0.0",
                                 "1e5",
                                 "1E-400",
                                 "0.1e1",
                                 "4.9406564584124654e-324",
                                 "1.7976931348623157e308",
                                 "9223372036854775807",
                                 "9223372036854775808",
                                 "18446744073709551615",
                                 "18446744073709551616",
                                 "-9223372036854775808",
                                 "-9223372036854775809",
                                 "123456789012345678901234567890",
                                 " \t\r\n true \n",
                                 "null",
                                 "[]",
                                 "{}",
                                 R"({"":{"":[]}})",
                                 R"("\u0000\u00e9\ud83d\ude00\/\"\\")",
                                 "\"\x7f\xf0\x9f\x98\x80\"",
                                 "\xef\xbb\xbf[1]",
                                 deepest.c_str()}) {
    const Json expected = Json::parse(text);
    const Json parsed = ParseJson(text, "t");
    EXPECT_EQ(parsed, expected) << text;
    EXPECT_EQ(DumpJson(parsed), DumpJson(expected)) << text;
  }
  for (const std::string text : {"",
                                 " ",
                                 "[1,]",
                                 "{\"a\":1,}",
                                 "[1 2]",
                                 "1 2",
                                 "01",
                                 "1.",
                                 ".5",
                                 "+1",
                                 "1e",
                                 "-",
                                 "1e400",
                                 "nul",
                                 "NaN",
                                 "Infinity",
                                 "'a'",
                                 "\"a",
                                 "\"\t\"",
                                 R"("\x41")",
                                 R"("\u12g4")",
                                 R"("\ud800")",
                                 R"("\udc00\ud800")",
                                 "\"\xc0\x80\"",
                                 "\"\xed\xa0\x80\"",
                                 "// c\n1",
                                 "[1]\xef\xbb\xbf",
                                 "{1:2}",
                                 R"({"a" 1})",
                                 "[[]",
                                 "]"}) {
    EXPECT_FALSE(Json::accept(text)) << text;
    EXPECT_THROW(ParseJson(text, "t"), Error) << text;
  }
  EXPECT_THROW(ParseJson("[" + deepest + "]", "t"), Error);
  EXPECT_THROW(ParseJson(std::string_view("[1]\0", 4), "t"), Error);
  EXPECT_TRUE(ParseJson("7", "t").is_number_unsigned());
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

TEST(Error, WhatTheSystemRefusesIsNoFaultOfTheProgram) {
  const auto caught = [](const std::exception_ptr& exception) {
    try {
      std::rethrow_exception(exception);
    } catch (...) {
      return CurrentError();
    }
  };
  const auto of = [&](std::errc code) {
    return caught(std::make_exception_ptr(std::system_error(std::make_error_code(code), "x")));
  };
  EXPECT_EQ(of(std::errc::permission_denied).code(), ErrorCode::kIo);
  EXPECT_EQ(of(std::errc::resource_unavailable_try_again).code(), ErrorCode::kExhausted);
  EXPECT_EQ(caught(std::make_exception_ptr(std::filesystem::filesystem_error(
                       "x", "/a/b", std::make_error_code(std::errc::not_a_directory))))
                .code(),
            ErrorCode::kIo);
  EXPECT_EQ(caught(std::make_exception_ptr(std::bad_alloc())).code(), ErrorCode::kExhausted);
  EXPECT_EQ(caught(std::make_exception_ptr(std::logic_error("x"))).code(), ErrorCode::kInternal);
}

class FileTest : public ::testing::Test {
 protected:
  const ScratchFolder scratch_;
  const std::filesystem::path folder_ = scratch_.path();
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

TEST_F(FileTest, TheBoundOfAReadIsExact) {
  for (const size_t size : {size_t{0}, size_t{100}, size_t{1} << 16, (size_t{1} << 16) + 1}) {
    WriteFileAtomically(folder_ / "file", std::string(size, 'x'));
    EXPECT_EQ(ReadFile(folder_ / "file", size).size(), size);
    EXPECT_EQ(ReadFile(folder_ / "file", size + 1).size(), size);
    if (size > 0) {
      EXPECT_THROW(ReadFile(folder_ / "file", size - 1), Error) << size;
    }
  }
}

TEST_F(FileTest, OnlyRegularFilesAreRead) {
  const auto fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const auto message = [](const std::function<void()>& read) -> std::string {
    try {
      read();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
      return error.message();
    }
    return "read";
  };
  for (const auto& [path, kind] : {std::pair(fifo, "a FIFO"),
                                   {folder_, "a folder"},
                                   {std::filesystem::path("/dev/zero"), "a device"}}) {
    const std::string expected =
        fmt::format("'{}' is {}: a regular file is expected", path.string(), kind);
    EXPECT_EQ(message([&] { ReadFile(path, 100); }), expected);
    EXPECT_EQ(message([&] { MappedFile file(path); }), expected);
    EXPECT_EQ(message([&] { FileDigest(path); }), expected);
    EXPECT_EQ(message([&] { ::close(OpenRegularFile(path)); }), expected);
  }
}

TEST_F(FileTest, AFifoThatNobodyReadsIsNotWaitedFor) {
  const auto fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THROW(AppendFile{fifo}, Error);
}

TEST_F(FileTest, APipeThatWasHandedOverIsRead) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "handed", 6), 6);
  ::close(ends[1]);
  EXPECT_EQ(ReadFile("/dev/fd/" + std::to_string(ends[0]), 100), "handed");
  ::close(ends[0]);
}

TEST_F(FileTest, AFileThatIsGoneIsNoticedByTheNextWrite) {
  const auto inner = folder_ / "inner";
  for (const char* how : {"file", "folder", "moved", "replaced"}) {
    std::filesystem::create_directory(inner);
    AppendFile log(inner / "log");
    log.Append("a\n");
    const std::string word = how;
    if (word == "file") std::filesystem::remove(inner / "log");
    if (word == "folder") std::filesystem::remove_all(inner);
    if (word == "moved") std::filesystem::rename(inner, folder_ / "other");
    if (word == "replaced") WriteFileAtomically(inner / "log", "another");
    EXPECT_THROW(log.Append("b\n"), Error) << how;
    std::filesystem::remove_all(inner);
  }
}

TEST_F(FileTest, AppendsWholeLines) {
  const auto path = folder_ / "log";
  { AppendFile(path).Append("a\n"); }
  { AppendFile(path).Append("b\n"); }
  EXPECT_EQ(ReadFile(path, 100), "a\nb\n");
}

}  // namespace
}  // namespace retort
