#include <gtest/gtest.h>

#include <filesystem>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/steps/step_list.h"

namespace retort {
namespace {

class LoadDataFromFileSystemTest : public ::testing::Test {
 protected:
  const ScratchFolder scratch_;
  const std::filesystem::path folder_ = scratch_.path();

  std::vector<Row> Read(Json set) {
    Json values = {{"data_files", nullptr}, {"filetype", nullptr}, {"num_examples", nullptr},
                   {"types", nullptr},      {"defaults", nullptr}, {"on_bad_line", "fail"}};
    values.update(set);
    const Params params(values);
    const StepType type = LoadDataFromFileSystemType();
    type.check(params);
    const auto step = type.create(params);
    StepContext context;
    context.base_dir = folder_;
    context.warn = [&](std::string_view line) { warnings_.emplace_back(line); };
    std::vector<Row> rows;
    dynamic_cast<SourceStep&>(*step).Read(context, [&](Row row) {
      rows.push_back(std::move(row));
      return true;
    });
    return rows;
  }

  std::vector<std::string> warnings_;
};

TEST_F(LoadDataFromFileSystemTest, FilesOfAPatternInOrder) {
  WriteFileAtomically(folder_ / "b.jsonl", "{\"x\":2}\n{\"x\":3}\n");
  WriteFileAtomically(folder_ / "a.jsonl", "{\"x\":1}\n");
  WriteFileAtomically(folder_ / "c.csv", "x\n4\n");
  EXPECT_EQ(Json(Read({{"data_files", "*.jsonl"}})), Json::parse(R"([{"x":1},{"x":2},{"x":3}])"));
  EXPECT_EQ(Json(Read({{"data_files", {"c.csv", "a.jsonl"}}})),
            Json::parse(R"([{"x":"4"},{"x":1}])"));
  EXPECT_EQ(Json(Read({{"data_files", "*.jsonl"}, {"num_examples", 2}})),
            Json::parse(R"([{"x":1},{"x":2}])"));
}

TEST_F(LoadDataFromFileSystemTest, ABadLineStopsOrIsSkippedWithItsNumber) {
  WriteFileAtomically(folder_ / "a.jsonl", "{\"x\":1}\n{oops\n{\"x\":3}\n");
  try {
    Read({{"data_files", "a.jsonl"}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("a.jsonl:2"), std::string::npos) << error.message();
  }
  EXPECT_EQ(Read({{"data_files", "a.jsonl"}, {"on_bad_line", "skip"}}).size(), 2u);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_NE(warnings_[0].find("a.jsonl:2"), std::string::npos) << warnings_[0];
}

TEST_F(LoadDataFromFileSystemTest, NoFileIsReadTwice) {
  WriteFileAtomically(folder_ / "a.jsonl", "{\"x\":1}\n");
  for (const Json& files :
       {Json{"a.jsonl", "a.jsonl"}, Json{"*.jsonl", "a.jsonl"}, Json{"a.jsonl", "./a.jsonl"}}) {
    try {
      Read({{"data_files", files}});
      ADD_FAILURE() << files;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
      EXPECT_NE(error.message().find("a.jsonl"), std::string::npos) << error.message();
    }
  }
}

TEST_F(LoadDataFromFileSystemTest, TypesAndDefaults) {
  WriteFileAtomically(folder_ / "a.csv", "id,score\n007,4.5\n008,\n");
  EXPECT_EQ(Json(Read({{"data_files", "a.csv"}, {"types", {{"score", "float"}}}})),
            Json::parse(R"([{"id":"007","score":4.5},{"id":"008","score":null}])"));
  EXPECT_THROW(Read({{"data_files", "a.csv"}, {"types", {{"score", "number"}}}}), Error);
  EXPECT_THROW(Read({{"data_files", "a.csv"}, {"types", {{"score", 1}}}}), Error);
  WriteFileAtomically(folder_ / "a.jsonl", "{\"x\":1}\n{\"x\":2,\"y\":\"b\"}\n{\"y\":null}\n");
  EXPECT_EQ(Json(Read({{"data_files", "a.jsonl"}, {"defaults", {{"y", ""}, {"z", {1}}}}})),
            Json::parse(R"([{"x":1,"y":"","z":[1]},{"x":2,"y":"b","z":[1]},{"y":"","z":[1]}])"));
  Read({{"data_files", "a.jsonl"}, {"types", {{"x", "int"}, {"w", "int"}}}});
  EXPECT_EQ(warnings_, std::vector<std::string>{"no row has the column 'w' of 'types'"});
}

TEST_F(LoadDataFromFileSystemTest, MissingFilesAndBadParametersAreErrors) {
  EXPECT_THROW(Read({{"data_files", "absent.jsonl"}}), Error);
  EXPECT_THROW(Read({{"data_files", 3}}), Error);
  EXPECT_THROW(Read({{"data_files", {"a.jsonl", 3}}}), Error);
}

}  // namespace
}  // namespace retort
