// Exact bounds, rare bytes, and a system that refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <fstream>

#include "retort/base/disk_events_test.h"
#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/base/text_file.h"
#include "retort/dataset/data_files.h"
#include "retort/dataset/jsonl_writer.h"
#include "retort/dataset/line_reader.h"
#include "retort/dataset/row_reader.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

// A limit of this process, for as long as it lives.
class Limit {
 public:
  Limit(decltype(RLIMIT_FSIZE) what, rlim_t value) : what_(what) {
    ::getrlimit(what_, &before_);
    rlimit now = before_;
    now.rlim_cur = value;
    ::setrlimit(what_, &now);
  }
  ~Limit() { ::setrlimit(what_, &before_); }

 private:
  decltype(RLIMIT_FSIZE) what_;
  rlimit before_ = {};
};

class DatasetEdges : public testing::Test {
 protected:
  DatasetEdges() { dir_ = scratch_.path(); }

  fs::path Write(const std::string& name, std::string_view content) {
    std::ofstream(dir_ / name, std::ios::binary) << content;
    return dir_ / name;
  }
  // The rows of a file as JSON, at most `rows_max` of them.
  std::string Read(const fs::path& path, size_t rows_max = 100) {
    Json rows = Json::array();
    ReadRows(path, {}, [&](Json row) {
      rows.push_back(std::move(row));
      return rows.size() < rows_max;
    });
    return DumpJson(rows);
  }

  const ScratchFolder scratch_;
  fs::path dir_;
};

TEST_F(DatasetEdges, ALineOfTheLongestIsReadAndOneByteMoreIsNot) {
  const auto line = [](size_t bytes) {
    return "{\"a\":\"" + std::string(bytes - 8, 'x') + "\"}\n";
  };
  const fs::path whole = Write("whole.jsonl", line(kLineBytesMax));
  size_t num_rows = 0;
  ReadRows(whole, {}, [&](const Json& row) {
    EXPECT_EQ(row["a"].get_ref<const std::string&>().size(), kLineBytesMax - 8);
    return ++num_rows > 0;
  });
  EXPECT_EQ(num_rows, 1u);
  EXPECT_THROW(Read(Write("long.jsonl", line(kLineBytesMax + 1))), Error);
}

TEST_F(DatasetEdges, NoRowComesAfterTheOneThatWasEnough) {
  EXPECT_EQ(Read(Write("a.jsonl", "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n"), 2), R"([{"a":1},{"a":2}])");
  EXPECT_EQ(Read(Write("a.json", "[{\"a\":1},{\"a\":2},{\"a\":3}]"), 2), R"([{"a":1},{"a":2}])");
  EXPECT_EQ(Read(Write("a.csv", "a\n1\n2\n3\n"), 2), R"([{"a":"1"},{"a":"2"}])");
}

// As in Python's csv and in pandas. In quotes it is text.
TEST_F(DatasetEdges, ALoneCarriageReturnEndsALine) {
  EXPECT_THROW(Read(Write("a.csv", "a,b\nx\ry,z\r\n")), Error);  // line 2 has one field
  EXPECT_EQ(Read(Write("a.csv", "a,b\n\"x\ry\",z\r\n")), R"([{"a":"x\ry","b":"z"}])");
}

TEST_F(DatasetEdges, EndingsAreKnownInCapitals) {
  EXPECT_EQ(Read(Write("DATA.JSONL", "{\"a\":1}\n")), R"([{"a":1}])");
  EXPECT_EQ(Read(Write("Data.Csv", "a\n1\n")), R"([{"a":"1"}])");
}

TEST(FindBadUtf8, LooksAtTheLastByteOfACharacter) {
  for (const char* bad : {"\xC3\x28", "\xE2\x82\x28", "\xE2\x82\xC0", "\xF0\x9F\x98\x28",
                          "\xF0\x9F\x28\x80", "\xF4\x8F\xBF\xC0"}) {
    EXPECT_EQ(FindBadUtf8(std::string("ab") + bad), 2u) << bad;
    EXPECT_EQ(FindBadUtf8(std::string("ab") + bad + "cd"), 2u) << bad;
  }
}

TEST_F(DatasetEdges, AFolderThatCannotBeListedIsNotEmpty) {
  Write("a.jsonl", "{}\n");
  // UBSan looks at a type that it has not seen before through a pipe, which the limit forbids.
  for (const std::error_category* category : {&std::generic_category(), &std::system_category()}) {
    EXPECT_EQ(std::error_code(EMFILE, *category), std::errc::too_many_files_open);
  }
  const auto code_of = [&](const std::string& pattern) {
    try {
      const Limit no_more_files(RLIMIT_NOFILE, 3);
      FindDataFiles(pattern, dir_);
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::kInternal;
  };
  EXPECT_EQ(code_of("."), ErrorCode::kIo);
  EXPECT_EQ(code_of("*.jsonl"), ErrorCode::kIo);
}

// Half a line at the end would be a row that nobody wrote.
TEST_F(DatasetEdges, ALineThatDoesNotFitIsCutOffAgain) {
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  {
    JsonlWriter writer(dir_ / "out.jsonl");
    writer.AppendLines("{\"a\":1}\n");
    const Limit full(RLIMIT_FSIZE, 12);
    EXPECT_THROW(writer.AppendLines("{\"a\":2}\n"), Error);
  }
  std::signal(SIGXFSZ, before);
  EXPECT_EQ(ReadFile(dir_ / "out.partial.jsonl", 100), "{\"a\":1}\n");
}

TEST_F(DatasetEdges, AFinishedFileIsOnTheDiskBeforeItHasItsName) {
  JsonlWriter writer(dir_ / "out.jsonl");
  writer.AppendLines("{}\n");
  DiskEvents::Take();
  writer.Finish();
  EXPECT_THAT(DiskEvents::Take(),
              testing::ElementsAre("sync out.partial.jsonl", "rename out.partial.jsonl",
                                   "sync " + dir_.filename().string()));
}

}  // namespace
}  // namespace retort
