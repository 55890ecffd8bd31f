#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/dataset/data_files.h"
#include "retort/dataset/jsonl_writer.h"
#include "retort/dataset/line_reader.h"
#include "retort/dataset/row_reader.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class DatasetTest : public ::testing::Test {
 protected:
  fs::path Write(const std::string& name, std::string_view content) {
    fs::create_directories((dir_ / name).parent_path());
    std::ofstream(dir_ / name, std::ios::binary) << content;
    return dir_ / name;
  }

  // The rows as JSON, or "error: " and the message without the folder.
  std::string Read(const std::string& name, std::string_view content,
                   BadLine on_bad_line = BadLine::kFail) {
    const fs::path path = Write(name, content);
    warnings_.clear();
    ReadOptions options;
    options.on_bad_line = on_bad_line;
    options.warn = [&](std::string_view line) { warnings_.push_back(WithoutDir(line)); };
    Json rows = Json::array();
    try {
      num_skipped_ = ReadRows(path, options, [&](Json row) {
        rows.push_back(std::move(row));
        return true;
      });
    } catch (const Error& error) {
      return "error: " + WithoutDir(error.message());
    }
    return DumpJson(rows);
  }

  std::string WithoutDir(std::string_view text) const {
    std::string result(text);
    const std::string prefix = dir_.string() + "/";
    for (size_t at; (at = result.find(prefix)) != std::string::npos;)
      result.erase(at, prefix.size());
    return result;
  }

  const ScratchFolder scratch_;
  const fs::path dir_ = scratch_.path();
  std::vector<std::string> warnings_;
  uint64_t num_skipped_ = 0;
};

TEST_F(DatasetTest, JsonlKeepsColumnOrderAndIgnoresBlankLinesAndCarriageReturns) {
  EXPECT_EQ(Read("a.jsonl", "{\"z\":1,\"a\":\"x\"}\r\n\n  \n{\"a\":null}"),
            R"([{"z":1,"a":"x"},{"a":null}])");
  EXPECT_EQ(Read("bom.jsonl", "\xEF\xBB\xBF{\"a\":1}\n"), R"([{"a":1}])");
  EXPECT_EQ(Read("empty.jsonl", ""), "[]");
}

TEST_F(DatasetTest, BadJsonlLinesAreNamed) {
  struct Case {
    const char* line;
    const char* message;
  };
  const Case cases[] = {
      {"{\"a\":", "a.jsonl:2: column "},
      {"{\"a\":1}{\"b\":2}", "a.jsonl:2: column "},
      {"[1]", "a.jsonl:2: expected a JSON object (one row), found array: [1]"},
      {"null", "found null"},
      {"{\"a\":1,\"a\":2}", "a.jsonl:2: duplicate key \"a\""},
      {"{\"a\":\"\xff\"}", "a.jsonl:2: byte 0xFF at column 7 is not UTF-8"},
      {"{\"a\":\"\xed\xa0\x80\"}", "a.jsonl:2: byte 0xED"},
      {"{\"a\":NaN}", "a.jsonl:2: column "},
  };
  for (const Case& test : cases) {
    const std::string text = std::string("{\"a\":1}\n") + test.line + "\n{\"a\":3}\n";
    EXPECT_THAT(Read("a.jsonl", text), HasSubstr(test.message)) << test.line;
    EXPECT_EQ(Read("a.jsonl", text, BadLine::kSkip), R"([{"a":1},{"a":3}])") << test.line;
    ASSERT_EQ(warnings_.size(), 1u) << test.line;
    EXPECT_THAT(warnings_[0], HasSubstr(test.message));
    EXPECT_THAT(warnings_[0], HasSubstr("(skipped)"));
    EXPECT_EQ(num_skipped_, 1u);
  }
}

TEST_F(DatasetTest, DeepJsonIsABadLine) {
  std::string deep = "{\"a\":" + std::string(100'000, '[');
  EXPECT_THAT(Read("deep.jsonl", deep), HasSubstr("nested deeper than"));
}

TEST_F(DatasetTest, ALineTooLongIsABadLineAndTheNextIsRead) {
  std::string text = "{\"a\":\"" + std::string(kLineBytesMax, 'x') + "\"}\n{\"a\":2}\n";
  EXPECT_EQ(Read("long.jsonl", text, BadLine::kSkip), R"([{"a":2}])");
  EXPECT_THAT(warnings_.at(0), HasSubstr("long.jsonl:1: a line longer than"));
}

TEST_F(DatasetTest, JsonArray) {
  EXPECT_EQ(Read("a.json", "\xEF\xBB\xBF[{\"a\":1},\n{\"b\":[2]}]"), R"([{"a":1},{"b":[2]}])");
  EXPECT_THAT(Read("b.json", "{\"a\":1}"), HasSubstr("b.json: expected a JSON array"));
  EXPECT_THAT(Read("c.json", "[{\"a\":1},\n 7]"), HasSubstr("item 2 of the array"));
  EXPECT_EQ(Read("c.json", "[{\"a\":1},\n 7]", BadLine::kSkip), R"([{"a":1}])");
  EXPECT_THAT(Read("d.json", "[{\"a\":1},\n {]"), HasSubstr("d.json:2:"));
  EXPECT_THAT(Read("e.json", ""), HasSubstr("e.json"));
}

TEST_F(DatasetTest, CsvAfterRfc4180) {
  struct Case {
    const char* text;
    const char* rows;
  };
  const Case cases[] = {
      {"a,b\n1,2\n", R"([{"a":"1","b":"2"}])"},
      {"a,b\r\n1,2\r\n", R"([{"a":"1","b":"2"}])"},
      {"a,b\n1,2", R"([{"a":"1","b":"2"}])"},
      {"\xEF\xBB\xBF"
       "a\nx\n",
       R"([{"a":"x"}])"},
      {"a,b\n\"1,\n2\",\"say \"\"hi\"\"\"\n", R"([{"a":"1,\n2","b":"say \"hi\""}])"},
      {"\"a\",\"b c\"\n,\n", R"([{"a":"","b c":""}])"},
      {"a,b\n\"\",\" x \"\n", R"([{"a":"","b":" x "}])"},
      {"a\n\"1\r\n2\"\n", R"([{"a":"1\r\n2"}])"},
      {"a,b\n1,\n", R"([{"a":"1","b":""}])"},
      {"a\n\n\nx\n", R"([{"a":"x"}])"},
      {"a\n", "[]"},
      {"", "[]"},
  };
  for (const Case& test : cases) EXPECT_EQ(Read("a.csv", test.text), test.rows) << test.text;
}

TEST_F(DatasetTest, BadCsvRecordsAreNamedByTheLineTheyBeginOn) {
  struct Case {
    const char* text;
    const char* message;
    const char* rest;  // what skipping leaves, or null if nothing can be read
  };
  const Case cases[] = {
      {"a,b\n\"x\ny\",1\n1,2,3\n4,5\n", "a.csv:4: 3 fields, the header names 2 columns (a, b)",
       R"([{"a":"x\ny","b":"1"},{"a":"4","b":"5"}])"},
      {"a,b\n1\n4,5\n", "a.csv:2: 1 fields", R"([{"a":"4","b":"5"}])"},
      {"a\n\"x\"y\nz\n", "a.csv:2: text after the closing quote", R"([{"a":"z"}])"},
      {"a\nx\"y\nz\n", "a.csv:2: a quote inside the unquoted field", R"([{"a":"z"}])"},
      {"a\nz\n\"x\n\n", "a.csv:3: a quoted field that does not end", R"([{"a":"z"}])"},
      {"a\n\xC3\nz\n", "a.csv:2: text that is not UTF-8", R"([{"a":"z"}])"},
      {"a,a\n1,2\n", "a.csv:1: column 'a' is named twice", nullptr},
      {"a,\n1,2\n", "a.csv:1: column 2 has no name", nullptr},
  };
  for (const Case& test : cases) {
    EXPECT_THAT(Read("a.csv", test.text), HasSubstr(test.message)) << test.text;
    if (test.rest != nullptr) {
      EXPECT_EQ(Read("a.csv", test.text, BadLine::kSkip), test.rest) << test.text;
    }
  }
}

TEST_F(DatasetTest, UnreadableFilesAreNamed) {
  EXPECT_THROW(
      try {
        ReadRows(dir_ / "none.jsonl", {}, [](Json) { return true; });
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kNotFound);
        EXPECT_THAT(error.message(), HasSubstr("none.jsonl"));
        throw;
      },
      Error);
  EXPECT_THAT(Read("a.parquet", "x"), HasSubstr("this build reads .jsonl"));
  fs::create_directories(dir_ / "folder.jsonl");
  try {
    ReadRows(dir_ / "folder.jsonl", {}, [](Json) { return true; });
    ADD_FAILURE() << "a folder was read as a file";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    EXPECT_THAT(error.message(), HasSubstr("is a folder: a regular file is expected"));
  }
}

TEST_F(DatasetTest, FilesAreFoundSorted) {
  for (const char* name : {"d/b.jsonl", "d/a.csv", "d/c.txt", "d/.hidden.jsonl", "d/sub/x.jsonl",
                           "e/b.jsonl", "odd[1].jsonl"}) {
    Write(name, "");
  }
  const auto find = [&](std::string_view pattern) {
    std::string names;
    try {
      for (const fs::path& path : FindDataFiles(pattern, dir_)) {
        names += WithoutDir(path.string()) + " ";
      }
    } catch (const Error& error) {
      return "error: " + WithoutDir(error.message());
    }
    return names;
  };
  EXPECT_EQ(find("d/b.jsonl"), "d/b.jsonl ");
  EXPECT_EQ(find("d"), "d/.hidden.jsonl d/a.csv d/b.jsonl ");
  EXPECT_EQ(find("*/b.jsonl"), "d/b.jsonl e/b.jsonl ");
  EXPECT_EQ(find("d/*.jsonl"), "d/b.jsonl ");
  EXPECT_EQ(find("[de]/?.*"), "d/a.csv d/b.jsonl d/c.txt e/b.jsonl ");
  EXPECT_EQ(find("odd[1].jsonl"), "odd[1].jsonl ");
  EXPECT_EQ(find("x*.jsonl"), "error: no file matches 'x*.jsonl'");
  EXPECT_EQ(find("none.jsonl"), "error: no such data file: 'none.jsonl'");
  EXPECT_EQ(find(""), "error: the name of a data file is empty");
  EXPECT_EQ(find((dir_ / "d/a.csv").string()), "d/a.csv ");
}

TEST_F(DatasetTest, WrittenRowsAreReadableAtOnceAndNamedWhenWhole) {
  const fs::path path = Write("out.jsonl", "old\n");
  JsonlWriter writer(path);
  writer.Append({{"a", 1}, {"bad", "\xff"}});
  EXPECT_EQ(ReadFile(dir_ / "out.partial.jsonl", 1000), "{\"a\":1,\"bad\":\"\xEF\xBF\xBD\"}\n");
  EXPECT_EQ(ReadFile(path, 1000), "old\n");
  writer.AppendLines("{}\n{}\n");
  writer.Finish();
  EXPECT_EQ(ReadFile(path, 1000), "{\"a\":1,\"bad\":\"\xEF\xBF\xBD\"}\n{}\n{}\n");
  EXPECT_FALSE(fs::exists(dir_ / "out.partial.jsonl"));
}

TEST_F(DatasetTest, AFullDiskLeavesWholeLinesAndNamesTheFile) {
  fs::create_symlink("/dev/full", dir_ / "full.partial.jsonl");
  JsonlWriter writer(dir_ / "full.jsonl");
  try {
    writer.Append({{"a", 1}});
    ADD_FAILURE() << "wrote to a full disk";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.message(), HasSubstr("full.partial.jsonl': No space left on device"));
  }
}

TEST_F(DatasetTest, AReadOnlyFolderIsAnErrorWithItsName) {
  if (::geteuid() == 0) {
    // Root may write anywhere but where there is no file system to write to.
    try {
      JsonlWriter writer("/proc/retort.jsonl");
      ADD_FAILURE() << "wrote to /proc";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kIo);
      EXPECT_THAT(error.message(), HasSubstr("/proc/retort.partial.jsonl"));
    }
    return;
  }
  ::chmod(dir_.c_str(), 0500);
  EXPECT_THROW(JsonlWriter(dir_ / "x.jsonl"), Error);
  ::chmod(dir_.c_str(), 0700);
}

TEST(FindBadUtf8, AfterTheUnicodeTable) {
  EXPECT_EQ(FindBadUtf8("aé€😀\u0000z"), std::string_view::npos);
  EXPECT_EQ(FindBadUtf8("\xF4\x8F\xBF\xBF"), std::string_view::npos);
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xC3", "\xE2\x82", "\xE2\x28\xA1"}) {
    EXPECT_EQ(FindBadUtf8(std::string("ab") + bad), 2u);
  }
}

}  // namespace
}  // namespace retort
