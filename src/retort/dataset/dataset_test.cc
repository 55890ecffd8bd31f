#include <fcntl.h>
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
    ReadOptions options;
    options.on_bad_line = on_bad_line;
    return ReadWith(std::move(options), name, content);
  }
  std::string ReadWith(ReadOptions options, const std::string& name, std::string_view content) {
    const fs::path path = Write(name, content);
    warnings_.clear();
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
      {"{\"a\":123456789012345678901234567890}",
       "a.jsonl:2: the number 123456789012345678901234567890 is an integer of more than 64 bits"},
      {"{\"a\":[1e-400]}", "a.jsonl:2: the number 1e-400 is a number nearer to zero"},
      {"{\"a\":1e400}", "a.jsonl:2: column "},
      {"{\"a\":\"\\ud83d\"}", "a.jsonl:2: column "},
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

TEST_F(DatasetTest, NumbersAreKeptToTheLastBit) {
  const std::string rows =
      R"([{"a":9223372036854775808,"b":18446744073709551615,"c":-9223372036854775808,"d":-0.0}])";
  EXPECT_EQ(Read("a.jsonl", rows.substr(1, rows.size() - 2)), rows);
  EXPECT_EQ(Read("a.json", rows), rows);
}

TEST_F(DatasetTest, AJsonFileMayHaveOneObjectOnEachLine) {
  EXPECT_EQ(Read("a.json", "\xEF\xBB\xBF \n{\"a\":1}\n\n{\"a\":2}\n"), R"([{"a":1},{"a":2}])");
  EXPECT_THAT(Read("a.json", "{\n  \"a\": 1\n}\n"),
              HasSubstr("a.json:1: column 2: not valid JSON"));
  EXPECT_THAT(Read("a.json", "{\n  \"a\": 1\n}\n"),
              HasSubstr("; a JSON file is one array of objects, or has one object on each line"));
  EXPECT_THAT(Read("a.jsonl", "[{\"a\":1}]"),
              HasSubstr("if the file is one JSON array, set 'filetype: json'"));
  EXPECT_THAT(Read("a.jsonl", "{\"a\":1}\n[1]\n"), ::testing::Not(HasSubstr("filetype")));
}

TEST_F(DatasetTest, ABadItemOfAJsonArrayIsNamedByItsLine) {
  const struct {
    const char* item;
    const char* message;
  } cases[] = {
      {"7", "expected an object (one row), found number"},
      {"[{\"a\":[\"]\"]}]", "expected an object (one row), found array"},
      {"{\"a\":1e-400}", "the number 1e-400 is"},
      {"{\"a\":18446744073709551616}", "the number 18446744073709551616 is"},
      {"{\"a\":1,\"a\":2}", "duplicate key \"a\" in one JSON object"},
  };
  for (const auto& test : cases) {
    const std::string text =
        std::string("[{\"a\":\"[{\\\",\"},\n{}\n,\n ") + test.item + ", {\"a\":3}\n]\n";
    EXPECT_THAT(Read("a.json", text),
                HasSubstr(std::string("a.json:4: item 3 of the array: ") + test.message));
    EXPECT_EQ(Read("a.json", text, BadLine::kSkip), R"([{"a":"[{\","},{},{"a":3}])") << test.item;
  }
  for (const char* none : {"[{},]", "[{}{}]", "[{}", "[{}]]", "[{}] x", "[,]", "[{\"a\":1} {}]"}) {
    EXPECT_THAT(Read("a.json", none), HasSubstr("error: a.json:1:")) << none;
  }
  EXPECT_EQ(Read("a.json", "[]"), "[]");
}

TEST_F(DatasetTest, JsonArray) {
  EXPECT_EQ(Read("a.json", "\xEF\xBB\xBF[{\"a\":1},\n{\"b\":[2]}]"), R"([{"a":1},{"b":[2]}])");
  EXPECT_THAT(Read("b.json", " 7"), HasSubstr("b.json: expected a JSON array"));
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
      {"a,b\r1,2\r3,4\r", R"([{"a":"1","b":"2"},{"a":"3","b":"4"}])"},
      {"a\n1\r2\r3\n", R"([{"a":"1"},{"a":"2"},{"a":"3"}])"},
      {"a\n\"x\"\ry\n", R"([{"a":"x"},{"a":"y"}])"},
      {"a,b\r\r\n1,2\r\r\n", R"([{"a":"1","b":"2"}])"},
      {"a\n\"1\r2\"\r", R"([{"a":"1\r2"}])"},
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
      {",a,\n1,2,3\n", "a.csv:1: column 3 has no name", nullptr},
      {",\n1,2\n", "a.csv:1: column 2 has no name", nullptr},
      {",a,a\n0,1,2\n", "a.csv:1: column 'a' is named twice", nullptr},
  };
  for (const Case& test : cases) {
    EXPECT_THAT(Read("a.csv", test.text), HasSubstr(test.message)) << test.text;
    if (test.rest != nullptr) {
      EXPECT_EQ(Read("a.csv", test.text, BadLine::kSkip), test.rest) << test.text;
    }
  }
}

// One character longer than `text` for each of `bytes` beyond it, in one field.
std::string Padded(std::string text, size_t bytes) {
  text.insert(text.size() / 2, bytes - text.size(), 'x');
  return text;
}

TEST_F(DatasetTest, ACsvRecordOfTheLongestIsReadAndOneByteMoreIsNot) {
  for (const char* record : {"a,bb", "\"a,\n\",bb", ",,"}) {
    const std::string columns = std::string(record) == ",," ? "x,y,z\n" : "x,y\n";
    for (const size_t bytes : {kLineBytesMax, kLineBytesMax + 1}) {
      const std::string text =
          columns + Padded(record, bytes) + "\n" + (columns.size() == 6 ? "1,2,3\n" : "1,2\n");
      Write("long.csv", text);
      ReadOptions options;
      options.on_bad_line = BadLine::kSkip;
      warnings_.clear();
      options.warn = [&](std::string_view line) { warnings_.emplace_back(line); };
      size_t num_rows = 0;
      ReadRows(dir_ / "long.csv", options, [&](const Json&) { return ++num_rows > 0; });
      EXPECT_EQ(num_rows, bytes <= kLineBytesMax ? 2u : 1u) << record << " " << bytes;
      ASSERT_EQ(warnings_.size(), bytes <= kLineBytesMax ? 0u : 1u);
      if (warnings_.empty()) continue;
      EXPECT_THAT(warnings_[0], HasSubstr("long.csv:2: a record longer than 67108864 bytes"));
    }
  }
}

TEST_F(DatasetTest, ALineOfCommasIsCountedAndBounded) {
  for (const size_t fields : {kRowColumnsMax - 1, kRowColumnsMax, kRowColumnsMax + 1}) {
    const std::string text = "a\n" + std::string(fields - 1, ',') + "\nz\n";
    EXPECT_EQ(Read("a.csv", text, BadLine::kSkip), R"([{"a":"z"}])");
    EXPECT_THAT(warnings_.at(0), HasSubstr(fields <= kRowColumnsMax
                                               ? fmt::format("a.csv:2: {} fields, the", fields)
                                               : "a.csv:2: a record of more than 1048576 fields"));
    EXPECT_LT(warnings_.at(0).size(), 200u);
  }
  const std::string commas(100'000'000, ',');
  EXPECT_THAT(Read("a.csv", commas), HasSubstr("a.csv:1: a record longer than"));
}

TEST_F(DatasetTest, ARowOfTheMostColumnsIsReadAndOneMoreIsNot) {
  for (const size_t num : {kRowColumnsMax, kRowColumnsMax + 1}) {
    std::string json = "{\"0\":0";
    for (size_t i = 1; i < num; ++i) json += fmt::format(",\"{0}\":{0}", i);
    Write("wide.jsonl", json + "}\n");
    ReadOptions options;
    options.on_bad_line = BadLine::kSkip;
    size_t num_columns = 0;
    const uint64_t skipped = ReadRows(dir_ / "wide.jsonl", options, [&](const Json& row) {
      num_columns = row.size();
      return true;
    });
    EXPECT_EQ(num_columns, num <= kRowColumnsMax ? num : 0);
    EXPECT_EQ(skipped, num <= kRowColumnsMax ? 0u : 1u);
  }
}

TEST_F(DatasetTest, AWideCsvTakesTimeWithItsColumnsNotWithTheirSquare) {
  std::string header = "c0";
  std::string record = "0";
  for (int i = 1; i < 200'000; ++i) {
    header += fmt::format(",c{}", i);
    record += fmt::format(",{}", i);
  }
  ReadOptions options;
  options.types = {{"c0", ColumnType::kInt}, {"c199999", ColumnType::kInt}};
  Write("wide.csv", header + "\n" + record + "\n" + record + "\n");
  Json last;
  ReadRows(dir_ / "wide.csv", options, [&](Json row) {
    last = std::move(row);
    return true;
  });
  EXPECT_EQ(last.size(), 200'000u);
  EXPECT_EQ(last.at("c199999"), 199'999);
}

TEST_F(DatasetTest, AnUnnamedFirstColumnIsTheIndexThatPandasWrites) {
  EXPECT_EQ(Read("a.csv", ",a,b\n0,x,y\n1,z,\n"), R"([{"a":"x","b":"y"},{"a":"z","b":""}])");
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_THAT(warnings_[0], HasSubstr("a.csv:1: the first column has no name"));
  EXPECT_THAT(Read("a.csv", ",a\n0\n"), HasSubstr("a.csv:2: 1 fields, the header names 2"));
}

TEST_F(DatasetTest, TypesConvertTheTextOfColumns) {
  ReadOptions options;
  options.types = {{"i", ColumnType::kInt},
                   {"f", ColumnType::kFloat},
                   {"b", ColumnType::kBool},
                   {"j", ColumnType::kJson}};
  EXPECT_EQ(ReadWith(options, "a.csv",
                     "i,f,b,j,t\n00123, 4.5 ,True,\"[1, {\"\"a\"\": null}]\",00123\n"
                     "-9223372036854775808,1e3,FALSE,7,\n+18446744073709551615,-.5,false,null, \n"
                     ",,, ,x\n"),
            R"([{"i":123,"f":4.5,"b":true,"j":[1,{"a":null}],"t":"00123"},)"
            R"({"i":-9223372036854775808,"f":1000.0,"b":false,"j":7,"t":""},)"
            R"({"i":18446744073709551615,"f":-0.5,"b":false,"j":null,"t":" "},)"
            R"({"i":null,"f":null,"b":null,"j":null,"t":"x"}])");
  EXPECT_EQ(ReadWith(options, "a.jsonl",
                     "{\"f\":\"2\"}\n{\"f\":2,\"i\":2,\"b\":true,\"j\":[]}\n{\"f\":null}\n"),
            R"([{"f":2.0},{"f":2.0,"i":2,"b":true,"j":[]},{"f":null}])");
}

TEST_F(DatasetTest, TextThatIsNotOfItsTypeIsABadLineThatNamesTheColumn) {
  const struct {
    ColumnType type;
    const char* value;
    const char* message;
  } cases[] = {
      {ColumnType::kInt, "\"high\"", "expected an integer of 64 bits, found \"high\""},
      {ColumnType::kInt, "\"1.5\"", "expected an integer"},
      {ColumnType::kInt, "\"1e3\"", "expected an integer"},
      {ColumnType::kInt, "\"18446744073709551616\"", "expected an integer"},
      {ColumnType::kInt, "\"-9223372036854775809\"", "expected an integer"},
      {ColumnType::kInt, "\"+-5\"", "expected an integer"},
      {ColumnType::kInt, "1.0", "expected an integer of 64 bits, found 1.0"},
      {ColumnType::kFloat, "\"1,5\"", "expected a finite number"},
      {ColumnType::kFloat, "\"nan\"", "expected a finite number"},
      {ColumnType::kFloat, "\"inf\"", "expected a finite number"},
      {ColumnType::kFloat, "\"1e400\"", "expected a finite number"},
      {ColumnType::kFloat, "\"1e-400\"", "expected a finite number"},
      {ColumnType::kFloat, "true", "expected a finite number, found true"},
      {ColumnType::kBool, "\"yes\"", "expected true or false, found \"yes\""},
      {ColumnType::kBool, "1", "expected true or false"},
      {ColumnType::kJson, "\"[1\"", "its JSON:1:"},
      {ColumnType::kJson, "\"1e-400\"", "its JSON: the number 1e-400"},
  };
  for (const auto& test : cases) {
    ReadOptions options;
    options.types = {{"a", test.type}};
    const std::string text =
        std::string("{\"a\":\" \"}\n{\"a\":") + test.value + "}\n{\"a\":null}\n";
    EXPECT_THAT(ReadWith(options, "a.jsonl", text),
                HasSubstr(std::string("a.jsonl:2: column 'a': ") + test.message))
        << test.value;
    options.on_bad_line = BadLine::kSkip;
    EXPECT_EQ(ReadWith(options, "a.jsonl", text), R"([{"a":null},{"a":null}])") << test.value;
  }
  ReadOptions options;
  options.types = {{"scor", ColumnType::kInt}};
  EXPECT_EQ(ReadWith(options, "a.csv", "id,score\n1,2\n"),
            "error: a.csv:1: 'types' names the column 'scor', which the header does not have (did "
            "you mean 'score'?)");
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

class DataFilesTest : public DatasetTest {
 protected:
  // The files found, or "error: " and the message, without the folder.
  std::string Find(std::string_view pattern) { return Find(pattern, dir_); }
  std::string Find(std::string_view pattern, const fs::path& base_dir) {
    std::string names;
    try {
      for (const fs::path& path : FindDataFiles(pattern, base_dir)) {
        names += WithoutDir(path.string()) + " ";
      }
    } catch (const Error& error) {
      return "error: " + WithoutDir(error.message());
    }
    return names;
  }
};

TEST_F(DataFilesTest, AreFoundSorted) {
  for (const char* name : {"d/b.jsonl", "d/a.csv", "d/c.txt", "d/.hidden.jsonl", "d/sub/x.jsonl",
                           "e/b.jsonl", "odd[1].jsonl", "f/sub/x.jsonl"}) {
    Write(name, "");
  }
  EXPECT_EQ(Find("d/b.jsonl"), "d/b.jsonl ");
  EXPECT_EQ(Find("d"), "d/a.csv d/b.jsonl ");
  EXPECT_EQ(Find("*/b.jsonl"), "d/b.jsonl e/b.jsonl ");
  EXPECT_EQ(Find("d/*.jsonl"), "d/b.jsonl ");
  EXPECT_EQ(Find("[de]/?.*"), "d/a.csv d/b.jsonl d/c.txt e/b.jsonl ");
  EXPECT_EQ(Find("odd[1].jsonl"), "odd[1].jsonl ");
  EXPECT_EQ(Find("x*.jsonl"), "error: no file matches 'x*.jsonl'");
  EXPECT_EQ(Find("none.jsonl"), "error: no such data file: 'none.jsonl'");
  EXPECT_EQ(Find("d/bb.jsonl"), "error: no such data file: 'd/bb.jsonl' (did you mean 'b.jsonl'?)");
  EXPECT_EQ(Find("nowhere/b.jsonl"), "error: no such data file: 'nowhere/b.jsonl'");
  EXPECT_EQ(Find(""), "error: the name of a data file is empty");
  EXPECT_EQ(Find((dir_ / "d/a.csv").string()), "d/a.csv ");
  EXPECT_EQ(Find((dir_ / "d/*.csv").string()), "d/a.csv ");
  EXPECT_EQ(Find("f"),
            "error: 'f' itself holds no .jsonl, .ndjson, .json or .csv file (those in folders "
            "below it: 'f/**/*.jsonl')");
  // What a person calls a folder is no pattern.
  Write("[x]/a.jsonl", "");
  EXPECT_EQ(Find("*.jsonl", dir_ / "[x]"), "[x]/a.jsonl ");
}

TEST_F(DataFilesTest, TwoStarsMatchAnyDepthAndPassOverHiddenNames) {
  for (const char* name : {"d/a.jsonl", "d/1/a.jsonl", "d/1/2/a.jsonl", "d/1/2/3/b.jsonl",
                           "d/1/c.csv", "d/.git/a.jsonl", "d/1/.a.jsonl", "d/.x/1/a.jsonl"}) {
    Write(name, "");
  }
  EXPECT_EQ(Find("d/**/*.jsonl"), "d/1/2/3/b.jsonl d/1/2/a.jsonl d/1/a.jsonl d/a.jsonl ");
  EXPECT_EQ(Find("d/**/a.jsonl"), "d/1/2/a.jsonl d/1/a.jsonl d/a.jsonl ");
  EXPECT_EQ(Find("**/2/*.jsonl"), "d/1/2/a.jsonl ");
  EXPECT_EQ(Find("**/2/**/*.jsonl"), "d/1/2/3/b.jsonl d/1/2/a.jsonl ");
  EXPECT_EQ(Find("d/**/**/c.*"), "d/1/c.csv ");
  EXPECT_EQ(Find("d/**"), "d/1/2/3/b.jsonl d/1/2/a.jsonl d/1/a.jsonl d/1/c.csv d/a.jsonl ");
  EXPECT_EQ(Find("d/.*/**/a.jsonl"), "d/.git/a.jsonl d/.x/1/a.jsonl ");
  EXPECT_EQ(Find("d/**/none"), "error: no file matches 'd/**/none'");
}

TEST_F(DataFilesTest, LinksEndAndBrokenOnesAreNamed) {
  Write("d/a.jsonl", "");
  Write("e/b.jsonl", "");
  fs::create_directory_symlink("..", dir_ / "d/up");
  fs::create_directory_symlink("../e", dir_ / "d/e");
  fs::create_symlink("loop", dir_ / "d/loop");
  EXPECT_EQ(Find("d/**/*.jsonl"), "d/a.jsonl ");
  EXPECT_EQ(Find("d/*/*.jsonl"), "d/e/b.jsonl ");
  EXPECT_EQ(Find("d/up/d/e/*.jsonl"), "d/up/d/e/b.jsonl ");
  fs::create_symlink("gone.jsonl", dir_ / "d/z.jsonl");
  for (const char* pattern : {"d", "d/*.jsonl", "d/**"}) {
    EXPECT_THAT(Find(pattern), HasSubstr("is a symbolic link to nothing")) << pattern;
  }
}

TEST_F(DataFilesTest, ManyTwoStarsDoNotTakeManyTimesAsLong) {
  std::string path;
  for (int depth = 0; depth < 40; ++depth) path += "d/";
  Write(path + "a.jsonl", "");
  std::string pattern;
  for (int i = 0; i < 12; ++i) pattern += "**/d/";
  EXPECT_EQ(Find(pattern + "**/a.jsonl"), path + "a.jsonl ");
}

TEST_F(DataFilesTest, AFolderOfTheMostFilesIsReadAndOneMoreIsNot) {
  for (size_t i = 0; i <= kDataFilesMax; ++i) {
    if (i == kDataFilesMax) {
      EXPECT_EQ(FindDataFiles(".", dir_).size(), kDataFilesMax);
      EXPECT_EQ(FindDataFiles("**/*.csv", dir_).size(), kDataFilesMax);
    }
    const int descriptor =
        ::open((dir_ / fmt::format("{}.csv", i)).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_GE(descriptor, 0);
    ::close(descriptor);
  }
  for (const char* pattern : {".", "*.csv", "**"}) {
    EXPECT_THAT(Find(pattern), HasSubstr("more than 100000 files")) << pattern;
  }
}

TEST_F(DataFilesTest, AFolderThatCannotBeReadIsNamed) {
  Write("d/closed/a.jsonl", "");
  Write("d/b.jsonl", "");
  ::chmod(dir_.c_str(), 0755);
  ::chmod((dir_ / "d/closed").c_str(), 0);
  const uid_t user = ::geteuid();
  constexpr uid_t kNobody = 65534;
  if (user == 0) {  // root may read everything
    ASSERT_EQ(::seteuid(kNobody), 0);
  }
  EXPECT_EQ(Find("d/*.jsonl"), "d/b.jsonl ");
  for (const char* pattern : {"d/closed", "d/**/*.jsonl", "d/*/a.jsonl", "d/closed/*.jsonl",
                              "d/closed/a.jsonl", "d/*/*.jsonl"}) {
    try {
      FindDataFiles(pattern, dir_);
      ADD_FAILURE() << pattern;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kIo) << pattern;
      EXPECT_THAT(error.message(), HasSubstr("d/closed")) << pattern;
      EXPECT_THAT(error.message(), HasSubstr("Permission denied")) << pattern;
    }
  }
  ASSERT_EQ(::seteuid(user), 0);
  ::chmod((dir_ / "d/closed").c_str(), 0700);
}

TEST_F(DataFilesTest, AddressesAreRefusedAndTheHomeFolderIsKnown) {
  for (const char* address : {"hf://datasets/tatsu-lab/alpaca/a.json", "https://x/a.jsonl",
                              "s3://b/*.jsonl", "file:///a.jsonl"}) {
    try {
      FindDataFiles(address, dir_);
      ADD_FAILURE() << address;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_THAT(error.message(), HasSubstr(std::string("'") + address + "' is an address"));
    }
  }
  const std::string home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  ::setenv("HOME", dir_.c_str(), 1);
  Write("d/a.jsonl", "");
  EXPECT_EQ(Find("~/d/a.jsonl", "/"), "d/a.jsonl ");
  EXPECT_EQ(Find("~/d", "/"), "d/a.jsonl ");
  EXPECT_EQ(Find("~/**/*.jsonl", "/"), "d/a.jsonl ");
  ::setenv("HOME", home.c_str(), 1);
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

}  // namespace
}  // namespace retort
