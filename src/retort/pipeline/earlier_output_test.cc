#include "retort/pipeline/earlier_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "retort/pipeline/run_harness_test.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using fake::FileText;
using testing::ElementsAre;
using testing::IsEmpty;

class EarlierOutputTest : public ::testing::Test {
 protected:
  fs::path out() const { return dir_.path() / "out"; }

  RunReport Run(const std::string& yaml, RunOptions options = {}, const char* reply = "$1!") {
    const Json script = {{"rules", {{{"match", "ask (\\S+)"}, {"reply", reply}}}}};
    return fake::RunGraph(fake::MakeGraph(yaml), fake::MakeModel(script), dir_.path(), options);
  }

  // Names of the visible files in a folder of the output, sorted; those of `previous` with it.
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(out())) {
      const std::string name = fs::relative(entry.path(), out()).string();
      if (!entry.is_directory() && name != ".retort.lock") names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  fake::TempDir dir_;
};

std::string Pipeline(const std::string& last = "two") {
  return "models: {m: tiny}\nsteps:\n"
         "  - {name: rows, type: Rows, data: [{text: a}, {text: b}, {text: c}]}\n"
         "  - {name: one, type: Ask, llm: m, output_mappings: {answer: first}}\n"
         "  - {name: " +
         last + ", type: Ask, llm: m, input_mappings: {text: first}}\n";
}

TEST_F(EarlierOutputTest, ALimitedRunKeepsTheWholeOne) {
  Run(Pipeline());
  const std::string whole = FileText(out() / "two.jsonl");
  RunOptions options;
  options.limit = 1;
  const RunReport report = Run(Pipeline(), options);
  EXPECT_TRUE(report.moved_earlier_output);
  EXPECT_THAT(Files(),
              ElementsAre("previous/run.json", "previous/two.jsonl", "run.json", "two.jsonl"));
  EXPECT_EQ(FileText(out() / "previous/two.jsonl"), whole);
  EXPECT_EQ(fake::JsonLines(out() / "two.jsonl").size(), 1u);
  EXPECT_EQ(Json::parse(FileText(out() / "previous/run.json")).at("rows_written"), 3);
  // A third keeps both.
  options.limit = 2;
  EXPECT_TRUE(Run(Pipeline(), options).moved_earlier_output);
  EXPECT_EQ(FileText(out() / "previous/previous/two.jsonl"), whole);
  EXPECT_EQ(fake::JsonLines(out() / "previous/two.jsonl").size(), 1u);
  EXPECT_EQ(fake::JsonLines(out() / "two.jsonl").size(), 2u);
}

TEST_F(EarlierOutputTest, ARepeatedRunMovesNothing) {
  Run(Pipeline());
  const auto before = Files();
  EXPECT_FALSE(Run(Pipeline()).moved_earlier_output);
  EXPECT_EQ(Files(), before);
}

TEST_F(EarlierOutputTest, OutputsOfStepsThatAreGoneDoNotStayBesideTheNew) {
  Run(Pipeline("two"));
  EXPECT_TRUE(Run(Pipeline("three")).moved_earlier_output);
  EXPECT_THAT(Files(),
              ElementsAre("previous/run.json", "previous/two.jsonl", "run.json", "three.jsonl"));
}

// The same rows again, and one file more: nothing is lost, so nothing moves.
TEST_F(EarlierOutputTest, AnOutputMoreIsNoLoss) {
  Run(Pipeline());
  const std::string branch =
      Pipeline() + "  - {name: aside, type: Keep, columns: [text], after: one}\n";
  EXPECT_FALSE(Run(branch).moved_earlier_output);
  EXPECT_THAT(Files(), ElementsAre("aside.jsonl", "run.json", "two.jsonl"));
}

TEST_F(EarlierOutputTest, FailuresMoveWithTheirRows) {
  Run(Pipeline(), {}, "bad");
  EXPECT_THAT(Files(), ElementsAre("failed.jsonl", "run.json", "two.jsonl"));
  fs::remove(dir_.path() / "cache.sqlite");
  EXPECT_TRUE(Run(Pipeline()).moved_earlier_output);
  EXPECT_THAT(Files(), ElementsAre("previous/failed.jsonl", "previous/run.json",
                                   "previous/two.jsonl", "run.json", "two.jsonl"));
}

TEST_F(EarlierOutputTest, GoingOnWithAnInterruptedRunMovesNothing) {
  std::stop_source stop;
  stop.request_stop();
  RunOptions options;
  options.stop = stop.get_token();
  EXPECT_EQ(Run(Pipeline(), options).outcome, RunOutcome::kInterrupted);
  EXPECT_FALSE(Run(Pipeline()).moved_earlier_output);
  EXPECT_THAT(Files(), ElementsAre("run.json", "two.jsonl"));
  // An interruption over a finished output keeps that; going on keeps it still.
  RunOptions limited = options;
  limited.limit = 1;
  EXPECT_TRUE(Run(Pipeline(), limited).moved_earlier_output);
  limited.stop = {};
  EXPECT_FALSE(Run(Pipeline(), limited).moved_earlier_output);
  EXPECT_EQ(fake::JsonLines(out() / "previous/two.jsonl").size(), 3u);
  EXPECT_EQ(fake::JsonLines(out() / "two.jsonl").size(), 1u);
  EXPECT_FALSE(fs::exists(out() / "previous/previous"));
}

TEST_F(EarlierOutputTest, OnlyFilesOfRunsAreTouched) {
  Run(Pipeline("two"));
  WriteFileAtomically(out() / "notes.jsonl", "mine\n");
  WriteFileAtomically(out() / "notes.txt", "mine\n");
  fs::create_directory(out() / "folder.jsonl");
  Json report = Json::parse(FileText(out() / "run.json"));
  report["outputs"].push_back("../../cache.sqlite");
  report["outputs"].push_back("folder.jsonl");
  report["outputs"].push_back("notes.txt");
  report["outputs"].push_back(7);
  WriteFileAtomically(out() / "run.json", report.dump());
  Run(Pipeline("three"));
  EXPECT_TRUE(fs::exists(out() / "notes.jsonl"));
  EXPECT_TRUE(fs::exists(out() / "notes.txt"));
  EXPECT_TRUE(fs::exists(out() / "folder.jsonl"));
  EXPECT_TRUE(fs::exists(dir_.path() / "cache.sqlite"));
  EXPECT_FALSE(fs::exists(out() / "two.jsonl"));
}

TEST_F(EarlierOutputTest, AReportThatIsNoneNamesNothing) {
  for (const char* text : {"", "[", "[1]", "{\"outputs\": 3}", "{\"outputs\": {\"a\": \"b\"}}"}) {
    fs::remove_all(out());
    Run(Pipeline("two"));
    WriteFileAtomically(out() / "run.json", text);
    RunOptions options;
    options.limit = 1;
    EXPECT_TRUE(Run(Pipeline("two"), options).moved_earlier_output) << text;
    EXPECT_EQ(fake::JsonLines(out() / "previous/two.jsonl").size(), 3u) << text;
  }
}

// Killed anywhere in the middle, the next call goes on: whatever was there is there still.
TEST_F(EarlierOutputTest, AMoveThatWasCutShortIsFinished) {
  const auto write = [&](const std::string& name, const std::string& text) {
    fs::create_directories((out() / name).parent_path());
    WriteFileAtomically(out() / name, text);
  };
  const std::vector<MadeFile> made = {{"a.jsonl", out() / "a.partial.jsonl", true}};
  const Json report = {{"outputs", {"out/a.jsonl", "out/b.jsonl"}}};
  // Some files were moved.
  write("b.jsonl", "old b");
  write("run.json", report.dump());
  write(".previous.partial/a.jsonl", "old a");
  write("previous/a.jsonl", "older a");
  write("a.partial.jsonl", "new a");
  EXPECT_TRUE(MoveEarlierOutput(out(), made));
  EXPECT_THAT(Files(), ElementsAre("a.partial.jsonl", "previous/a.jsonl", "previous/b.jsonl",
                                   "previous/previous/a.jsonl", "previous/run.json"));
  EXPECT_EQ(FileText(out() / "previous/a.jsonl"), "old a");
  EXPECT_EQ(FileText(out() / "previous/previous/a.jsonl"), "older a");
  // All were, and `previous` is inside already.
  fs::rename(out() / "previous", out() / ".previous.partial");
  EXPECT_TRUE(MoveEarlierOutput(out(), made));
  EXPECT_EQ(FileText(out() / "previous/previous/a.jsonl"), "older a");
  EXPECT_FALSE(MoveEarlierOutput(out(), made));
}

}  // namespace
}  // namespace retort
