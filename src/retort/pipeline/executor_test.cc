#include "retort/pipeline/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <barrier>
#include <thread>

#include "retort/pipeline/dry_run.h"
#include "retort/pipeline/fault_streak.h"
#include "retort/pipeline/ledger.h"
#include "retort/pipeline/run_harness_test.h"

namespace retort {
namespace {

using fake::FileText;
using fake::JsonLines;
using fake::MakeGraph;
using fake::MakeModel;
using fake::RunGraph;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Json kEcho = Json::parse(R"j({"rules": [{"match": "ask (\\S+)", "reply": "$1!"}]})j");

std::string Dump(const std::vector<Json>& rows) {
  std::string text;
  for (const Json& row : rows) text += DumpJson(row) + "\n";
  return text;
}

class ExecutorTest : public ::testing::Test {
 protected:
  std::filesystem::path Out(const std::string& name) const { return dir_.path() / "out" / name; }
  fake::TempDir dir_;
};

constexpr const char* kTwoAsks = R"(
models: {m: tiny}
steps:
  - {name: rows, type: Rows, data: [{text: a}, {text: b}, {text: c}]}
  - {name: one, type: Ask, llm: m, output_mappings: {answer: first}}
  - {name: two, type: Ask, llm: m, input_mappings: {text: first}}
)";

TEST_F(ExecutorTest, RowsGoThroughAndComeOutInOrder) {
  const RunReport report = RunGraph(MakeGraph(kTwoAsks), MakeModel(kEcho), dir_.path());
  EXPECT_EQ(FileText(Out("two.jsonl")),
            "{\"text\":\"a\",\"first\":\"a!\",\"answer\":\"a!!\"}\n"
            "{\"text\":\"b\",\"first\":\"b!\",\"answer\":\"b!!\"}\n"
            "{\"text\":\"c\",\"first\":\"c!\",\"answer\":\"c!!\"}\n");
  EXPECT_EQ(report.outcome, RunOutcome::kDone);
  EXPECT_EQ(report.rows_written, 3u);
  EXPECT_EQ(report.progress.steps.at(1).rows_in, 3u);
  EXPECT_EQ(report.progress.steps.at(1).num_requests, 3u);
  EXPECT_EQ(report.progress.models.at(0).num_consumers, 2);
  EXPECT_FALSE(std::filesystem::exists(Out("failed.jsonl")));
  const Json written = Json::parse(FileText(Out("run.json")));
  EXPECT_EQ(written.at("outcome"), "done");
  EXPECT_EQ(written.at("steps").at(2).at("completion_tokens"), 3);
  EXPECT_GT(written.at("peak_anonymous_bytes"), 0);
}

TEST_F(ExecutorTest, AnyNumberOfWorkersAndAnyOrderOfAnswersGiveTheSameBytes) {
  const Graph graph = MakeGraph(R"(
models: {m: tiny}
steps:
  - {name: rows, type: Rows, count: 40}
  - {name: split, type: Split, parts: 3}
  - {name: ask, type: Ask, llm: m, rounds: 2, input_mappings: {text: part}}
  - {name: again, type: Split, parts: 2, output_mappings: {part: half}}
  - {name: draw, type: Draw}
)");
  const Json script = Json::parse(R"({"rules": [{"match": ".", "reply": "${seed}"}]})");
  std::string first;
  for (const int workers : {1, 3, 16}) {
    fake::TempDir dir;
    RunOptions options;
    options.num_workers = workers;
    RunGraph(graph, MakeModel(script, workers, static_cast<uint64_t>(workers)), dir.path(),
             options);
    const std::string text = FileText(dir.path() / "out" / "draw.jsonl");
    if (first.empty()) first = text;
    EXPECT_EQ(text, first) << workers;
  }
  EXPECT_EQ(std::count(first.begin(), first.end(), '\n'), 240);
  // Draws and seeds differ from row to row.
  std::set<std::string> numbers;
  for (const Json& row : JsonLines(dir_.path() / "none")) numbers.insert(row.dump());
  fake::TempDir other;
  RunOptions options;
  options.seed = 5;
  RunGraph(graph, MakeModel(script), other.path(), options);
  EXPECT_NE(FileText(other.path() / "out" / "draw.jsonl"), first);
}

constexpr const char* kFailing = R"(
models: {m: tiny}
steps:
  - {name: rows, type: Rows, data: [{text: a}, {text: x}, {text: c}]}
  - {name: one, type: Ask, llm: m, output_mappings: {answer: first}}
  - {name: two, type: Ask, llm: m, input_mappings: {text: first}}
)";
const Json kBadX = Json::parse(
    R"j({"rules": [{"match": "ask x", "reply": "a bad one"},
                   {"match": "ask (\\S+)", "reply": "$1!"}]})j");

TEST_F(ExecutorTest, AFailedRowGoesOnWithNullsAndItsNeighboursAreUntouched) {
  const RunReport report = RunGraph(MakeGraph(kFailing), MakeModel(kBadX), dir_.path());
  EXPECT_EQ(Dump(JsonLines(Out("two.jsonl"))),
            "{\"text\":\"a\",\"first\":\"a!\",\"answer\":\"a!!\"}\n"
            "{\"text\":\"x\",\"first\":null,\"answer\":null}\n"
            "{\"text\":\"c\",\"first\":\"c!\",\"answer\":\"c!!\"}\n");
  EXPECT_EQ(report.outcome, RunOutcome::kDoneWithFailures);
  EXPECT_EQ(ExitStatus(report.outcome), 1);
  EXPECT_EQ(report.progress.steps.at(1).failures,
            (std::map<std::string, uint64_t>{{"invalid", 1}}));
  EXPECT_EQ(report.progress.steps.at(2).rows_upstream_failed, 1u);
  EXPECT_EQ(report.progress.steps.at(2).rows_failed, 0u);
  const std::vector<Json> failed = JsonLines(Out("failed.jsonl"));
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].at("step"), "one");
  EXPECT_EQ(failed[0].at("lineage"), "1");
  EXPECT_EQ(failed[0].at("code"), "invalid");
  EXPECT_EQ(failed[0].at("reason"), "a bad answer");
  EXPECT_EQ(failed[0].at("raw"), "a bad one");
  EXPECT_EQ(failed[0].at("row"), Json({{"text", "x"}}));
}

TEST_F(ExecutorTest, OnErrorDropEndsTheRow) {
  const RunReport report =
      RunGraph(MakeGraph(kFailing, {"one.on_error=drop"}), MakeModel(kBadX), dir_.path());
  EXPECT_EQ(JsonLines(Out("two.jsonl")).size(), 2u);
  EXPECT_EQ(report.progress.steps.at(1).rows_dropped, 1u);
  EXPECT_EQ(JsonLines(Out("failed.jsonl")).size(), 1u);
}

TEST_F(ExecutorTest, OnErrorFailStopsTheRunAndSaysWhich) {
  const RunReport report =
      RunGraph(MakeGraph(kFailing, {"one.on_error=fail"}), MakeModel(kBadX), dir_.path());
  EXPECT_EQ(report.outcome, RunOutcome::kStoppedByFailure);
  EXPECT_EQ(ExitStatus(report.outcome), 1);
  EXPECT_EQ(report.stopped_by, "step 'one', row 1: a bad answer");
  EXPECT_FALSE(std::filesystem::exists(Out("two.jsonl")));
  EXPECT_TRUE(std::filesystem::exists(Out("two.partial.jsonl")));
  EXPECT_EQ(JsonLines(Out("failed.jsonl")).size(), 1u);
}

TEST_F(ExecutorTest, ANullOrMissingColumnOfTheDataIsAFailureOfItsOwn) {
  const Graph graph = MakeGraph(R"(
models: {m: tiny}
steps:
  - {name: rows, type: Rows, data: [{text: a}, {text: null}, {other: 1}]}
  - {name: one, type: Ask, llm: m}
)");
  RunGraph(graph, MakeModel(kEcho), dir_.path());
  const std::vector<Json> failed = JsonLines(Out("failed.jsonl"));
  ASSERT_EQ(failed.size(), 2u);
  EXPECT_EQ(failed[0].at("reason"), "the column 'text' of the row is null");
  EXPECT_EQ(failed[1].at("reason"), "the row has no column 'text'; it has other");
  EXPECT_EQ(JsonLines(Out("one.jsonl")).size(), 3u);
}

TEST_F(ExecutorTest, AServerThatIsAwayIsAskedAgainAFewTimes) {
  const Json script = Json::parse(R"({"rules": [
    {"match": "ask a", "error": "unavailable", "message": "no route", "times": 2},
    {"match": "ask b", "error": "unavailable", "message": "gone"},
    {"match": "ask c", "error": "exhausted", "message": "too long"}], "default": "fine"})");
  const auto model = MakeModel(script);
  RunGraph(MakeGraph(kTwoAsks), model, dir_.path());
  const std::vector<Json> rows = JsonLines(Out("two.jsonl"));
  EXPECT_EQ(rows.at(0).at("first"), "fine");
  EXPECT_TRUE(rows.at(1).at("first").is_null());
  EXPECT_TRUE(rows.at(2).at("first").is_null());
  const std::vector<Json> failed = JsonLines(Out("failed.jsonl"));
  ASSERT_EQ(failed.size(), 2u);
  EXPECT_EQ(failed[0].at("code"), "unavailable");
  EXPECT_EQ(failed[1].at("code"), "exhausted");
  // a: 3, b: 4, c: 1, and the second step of a.
  EXPECT_EQ(model->num_calls(), 9u);
}

TEST_F(ExecutorTest, AModelThatIsGoneStopsTheRunInsteadOfFailingEveryRow) {
  const Json script =
      Json::parse(R"({"rules": [{"match": "", "error": "unavailable", "message": "dead"}]})");
  const auto model = MakeModel(script);
  RunOptions options;
  options.num_workers = kRowWorkersMax;
  try {
    RunGraph(MakeGraph("models: {m: t}\nsteps:\n  - {name: r, type: Rows, count: 1000}\n"
                       "  - {name: a, type: Ask, llm: m, input_mappings: {text: id}}\n"),
             model, dir_.path(), options);
    ADD_FAILURE() << "a dead model went unnoticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_EQ(error.message(), "model 'm' left 16 requests in a row unanswered: dead");
  }
  EXPECT_LE(model->num_calls(), static_cast<uint64_t>(4 * kRowWorkersMax));
}

// A fault of the model, one after another: the other rows would only fail too.
TEST_F(ExecutorTest, AModelWhoseEveryRequestFailsStopsTheRun) {
  for (const char* code : {"internal", "io", "corrupt"}) {
    fake::TempDir dir;
    const auto model =
        MakeModel({{"rules", {{{"match", ""}, {"error", code}, {"message", "no number"}}}}}, 1);
    RunOptions options;
    options.num_workers = 2;
    try {
      RunGraph(MakeGraph("models: {m: t}\nsteps:\n  - {name: r, type: Rows, count: 1000}\n"
                         "  - {name: a, type: Ask, llm: m, input_mappings: {text: id}}\n"),
               model, dir.path(), options);
      ADD_FAILURE() << "a broken model went unnoticed: " << code;
    } catch (const Error& error) {
      EXPECT_EQ(ErrorCodeName(error.code()), code);
      EXPECT_EQ(error.message(), "model 'm' failed 4 times one after another: no number");
    }
    EXPECT_LE(model->num_calls(), 20u);
  }
}

// The other step's answers do not hide it.
TEST_F(ExecutorTest, AStepWhoseEveryRequestFailsStopsTheRun) {
  const auto model = MakeModel(
      Json::parse(R"({"rules": [{"match": "two", "error": "internal", "message": "no number"}]})"),
      1);
  RunOptions options;
  options.num_workers = 2;
  try {
    RunGraph(MakeGraph("models: {m: t}\nsteps:\n  - {name: r, type: Rows, count: 1000}\n"
                       "  - {name: one, type: Ask, llm: m, input_mappings: {text: id}, "
                       "output_mappings: {answer: first}}\n"
                       "  - {name: two, type: Ask, llm: m, prompt: 'two ', "
                       "input_mappings: {text: first}}\n"),
             model, dir_.path(), options);
    ADD_FAILURE() << "a step without an answer went unnoticed";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("one after another at step 'two': no number"));
  }
  EXPECT_LE(model->num_calls(), 40u);
}

// Faults with answers between them are the rows' own.
TEST_F(ExecutorTest, FaultsHereAndThereFailTheirRowsOnly) {
  const auto model = MakeModel(
      Json::parse(R"({"rules": [{"match": "[13579]\\n", "error": "internal", "message": "odd"}]})"),
      1);
  RunOptions options;
  options.num_workers = 1;
  const RunReport report =
      RunGraph(MakeGraph("models: {m: t}\nsteps:\n  - {name: r, type: Rows, count: 100}\n"
                         "  - {name: a, type: Ask, llm: m, input_mappings: {text: id}}\n"),
               model, dir_.path(), options);
  EXPECT_EQ(report.rows_failed, 50u);
}

// One fault of an engine fails all that it was at work on; it counts once.
TEST(FaultStreak, CountsFaultsNotTheRequestsTheyHit) {
  FaultStreak streak;
  for (int fault = 1; fault < kFaultsInARowMax; ++fault) {
    const uint64_t mark = streak.Mark();
    for (int request = 0; request < 100; ++request) EXPECT_TRUE(streak.Count(mark, true));
  }
  EXPECT_FALSE(streak.Count(streak.Mark(), true));
  EXPECT_TRUE(streak.Count(streak.Mark(), false));
  for (int fault = 1; fault < kFaultsInARowMax; ++fault) {
    EXPECT_TRUE(streak.Count(streak.Mark(), true));
  }
  EXPECT_FALSE(streak.Count(streak.Mark(), true));
}

// Who reads a data set must be able to say what made it.
TEST_F(ExecutorTest, TheReportSaysWhatWasRun) {
  Graph graph = MakeGraph(R"(
name: demo
models: {m: {path: tiny, generation: {temperature: 0.5, stop: [x]}}}
steps:
  - {name: rows, type: Rows, data: [{text: a}]}
  - {name: one, type: Ask, llm: m, generation: {max_new_tokens: 9}, output_mappings: {answer: b}}
)");
  RunGraph(graph, MakeModel(kEcho), dir_.path());
  const Json report = Json::parse(FileText(Out("run.json")));
  EXPECT_EQ(report.at("pipeline"), "demo");
  EXPECT_EQ(report.at("pipeline_file"), "p.yaml");
  EXPECT_EQ(report.at("pipeline_sha256"), graph.config.digest);
  EXPECT_EQ(graph.config.digest.size(), 64u);
  EXPECT_THAT(report.at("started_at").get<std::string>(),
              testing::MatchesRegex("20..-..-..T..:..:..Z"));
  EXPECT_LE(report.at("started_at").get<std::string>(), report.at("ended_at").get<std::string>());
  EXPECT_EQ(report.at("models").at(0).at("path"), "tiny");
  const Json settings = report.at("steps").at(1).at("settings");
  EXPECT_EQ(settings.at("after"), Json({"rows"}));
  EXPECT_EQ(settings.at("llm"), "m");
  EXPECT_EQ(settings.at("params").at("rounds"), 1);  // a default
  EXPECT_EQ(settings.at("generation").at("temperature"), 0.5);
  EXPECT_EQ(settings.at("generation").at("max_new_tokens"), 9);
  EXPECT_EQ(settings.at("generation").at("stop"), Json({"x"}));
  EXPECT_EQ(settings.at("output_mappings"), Json({{"answer", "b"}}));
  EXPECT_EQ(settings.at("on_error"), "keep");
}

TEST(RunReport, SecretsAreMaskedAndLongValuesNamedByTheirDigest) {
  EXPECT_EQ(
      WithoutSecrets(Json::parse(
          R"({"api_key": "s", "a": [{"token": "s", "max_tokens": 3}], "score_tokens": 1})")),
      Json::parse(
          R"({"api_key": "***", "a": [{"token": "***", "max_tokens": 3}], "score_tokens": 1})"));
  EXPECT_EQ(WithoutSecret("models.m.openai.api_key=s=t"), "models.m.openai.api_key=***");
  EXPECT_EQ(WithoutSecret("a.max_new_tokens=3"), "a.max_new_tokens=3");
  EXPECT_EQ(WithoutSecret("a.token"), "a.token");
  std::string rows = "[";
  for (int i = 0; i < 10'000; ++i) rows += fmt::format("{}{{text: t{}}}", i == 0 ? "" : ", ", i);
  const Graph graph = MakeGraph("steps:\n  - {name: r, type: Rows, data: " + rows + "]}\n");
  const Json data = SettingsToJson(graph, graph.steps[0]).at("params").at("data");
  EXPECT_GT(data.at("bytes"), 64 << 10);
  EXPECT_EQ(data.at("sha256").get<std::string>().size(), 64u);
}

TEST_F(ExecutorTest, ARowWithManyRequestsLeavesRoomForOthers) {
  // Else rows with many requests each fill the queue of an engine, which then refuses.
  const auto model = MakeModel(kEcho);
  RunOptions options;
  options.num_workers = 2;
  RunGraph(MakeGraph("models: {m: t}\nsteps:\n  - {name: r, type: Rows, count: 4}\n"
                     "  - {name: a, type: Ask, llm: m, copies: 100, input_mappings: {text: id}}\n"),
           model, dir_.path(), options);
  EXPECT_EQ(model->num_calls(), 400u);
  EXPECT_LE(model->num_in_flight_max(), 32u);
}

TEST_F(ExecutorTest, ProgressCanBeSeenWhileAModelLoads) {
  // As a terminal does when loading logs a line: progress() on the thread that loads.
  struct Watched : fake::OneModel {
    using fake::OneModel::OneModel;
    std::shared_ptr<const ModelIdentity> Identify(const std::string& name) override {
      if (run->progress().models.at(0).description.name.empty()) ++num_looks;
      return fake::OneModel::Identify(name);
    }
    std::shared_ptr<LanguageModel> Acquire(const std::string& name) override {
      if (run->progress().models.at(0).stats.num_requests == 0) ++num_looks;
      return fake::OneModel::Acquire(name);
    }
    const PipelineRun* run = nullptr;
    int num_looks = 0;
  } models(MakeModel(kEcho));
  const Graph graph = MakeGraph(kTwoAsks);
  RunOptions options;
  options.output_dir = dir_.path() / "out";
  PipelineRun run(graph, models, options);
  models.run = &run;
  EXPECT_EQ(run.Execute().outcome, RunOutcome::kDone);
  EXPECT_EQ(models.num_loads, 1);
  EXPECT_EQ(models.num_looks, 2);
}

// Distilabel merges branches by position and misaligns them when a batch of one fails.
TEST_F(ExecutorTest, JoinedBranchesStayAlignedWhenOneFails) {
  const Graph graph = MakeGraph(R"(
models: {m: tiny}
steps:
  - {name: rows, type: Rows, data: [{text: a}, {text: x}, {text: c}, {text: d}]}
  - {name: left, type: Ask, llm: m, after: rows, output_mappings: {answer: l}}
  - {name: right, type: Ask, llm: m, after: rows, prompt: "tell ", output_mappings: {answer: r}}
  - {name: deeper, type: Ask, llm: m, input_mappings: {text: r}, output_mappings: {answer: rr}}
  - {name: both, type: Merge, after: [left, deeper]}
)");
  const Json script = Json::parse(R"j({"rules": [
    {"match": "ask x", "reply": "bad"}, {"match": "tell c", "reply": "bad"},
    {"match": "ask (\\S+)", "reply": "l-$1"}, {"match": "tell (\\S+)", "reply": "r-$1"}]})j");
  RunGraph(graph, MakeModel(script), dir_.path());
  EXPECT_EQ(Dump(JsonLines(Out("both.jsonl"))),
            "{\"text\":\"a\",\"l\":\"l-a\",\"r\":\"r-a\",\"rr\":\"l-r-a\"}\n"
            "{\"text\":\"x\",\"l\":null,\"r\":\"r-x\",\"rr\":\"l-r-x\"}\n"
            "{\"text\":\"c\",\"l\":\"l-c\",\"r\":null,\"rr\":null}\n"
            "{\"text\":\"d\",\"l\":\"l-d\",\"r\":\"r-d\",\"rr\":\"l-r-d\"}\n");
  // A branch that drops a row takes it out of the join, no other.
  fake::TempDir dropped;
  const RunReport report = RunGraph(MakeGraph(R"(
models: {m: tiny}
steps:
  - {name: rows, type: Rows, data: [{text: a}, {text: x}, {text: c}]}
  - {name: left, type: Ask, llm: m, after: rows, on_error: drop, output_mappings: {answer: l}}
  - {name: right, type: Draw, after: rows}
  - {name: both, type: Merge, after: [left, right]}
  - {name: keep, type: Keep, columns: [text, l]}
)"),
                                    MakeModel(script), dropped.path());
  EXPECT_EQ(Dump(JsonLines(dropped.path() / "out" / "keep.jsonl")),
            "{\"text\":\"a\",\"l\":\"l-a\"}\n{\"text\":\"c\",\"l\":\"l-c\"}\n");
  EXPECT_EQ(report.progress.steps.at(3).rows_dropped, 1u);
}

// Whichever branch failed, what follows the join has a reason for its null, and fails no second
// time.
TEST_F(ExecutorTest, AJoinedRowHasFailedIfAnyBranchHas) {
  const RunReport report = RunGraph(MakeGraph(R"(
models: {m: tiny}
steps:
  - {name: rows, type: Rows, data: [{text: a}, {text: x}, {text: c}]}
  - {name: left, type: Ask, llm: m, after: rows, output_mappings: {answer: l}}
  - {name: right, type: Ask, llm: m, after: rows, prompt: "tell ", output_mappings: {answer: r}}
  - {name: both, type: Merge, after: [left, right]}
  - {name: on_l, type: Ask, llm: m, input_mappings: {text: l}, output_mappings: {answer: ll}}
  - {name: on_r, type: Ask, llm: m, input_mappings: {text: r}, output_mappings: {answer: rr}}
)"),
                                    MakeModel(Json::parse(R"j({"rules": [
    {"match": "ask x\n", "reply": "bad"}, {"match": "tell c\n", "reply": "bad"},
    {"match": ".", "reply": "good"}]})j")),
                                    dir_.path());
  EXPECT_EQ(report.rows_failed, 2u);
  for (const size_t step : {4u, 5u}) {
    EXPECT_EQ(report.progress.steps.at(step).rows_upstream_failed, 1u) << step;
    EXPECT_EQ(report.progress.steps.at(step).rows_failed, 0u) << step;
  }
}

TEST_F(ExecutorTest, JoinsNestAndFollowExpansions) {
  const Graph graph = MakeGraph(R"(
steps:
  - {name: rows, type: Rows, count: 3}
  - {name: split, type: Split, parts: 2}
  - {name: a, type: Draw, after: split, output_mappings: {number: a}}
  - {name: b, type: Draw, after: split, output_mappings: {number: b}}
  - {name: b1, type: Draw, after: b, output_mappings: {number: b1}}
  - {name: b2, type: Draw, after: b, output_mappings: {number: b2}}
  - {name: bs, type: Merge, after: [b1, b2]}
  - {name: all, type: Merge, after: [a, bs, split]}
  - {name: side, type: Keep, columns: id, after: b}
)");
  const RunReport report = RunGraph(graph, nullptr, dir_.path());
  const std::vector<Json> rows = JsonLines(Out("all.jsonl"));
  ASSERT_EQ(rows.size(), 6u);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].at("id"), i / 2);
    EXPECT_EQ(rows[i].at("part"), i % 2);
    for (const char* column : {"a", "b", "b1", "b2"}) EXPECT_TRUE(rows[i].contains(column));
  }
  EXPECT_EQ(JsonLines(Out("side.jsonl")).size(), 6u);
  EXPECT_EQ(report.outcome, RunOutcome::kDone);
}

TEST_F(ExecutorTest, AJoinRefusesSeveralRowsOfOneBranch) {
  const Graph graph = MakeGraph(R"(
steps:
  - {name: rows, type: Rows, count: 2}
  - {name: a, type: Split, after: rows}
  - {name: b, type: Draw, after: rows}
  - {name: j, type: Merge, after: [a, b]}
)");
  const RunReport report = RunGraph(graph, nullptr, dir_.path());
  EXPECT_EQ(report.outcome, RunOutcome::kNothingProduced);
  EXPECT_EQ(report.rows_failed, 2u);
  EXPECT_EQ(JsonLines(Out("failed.jsonl")).at(0).at("reason"),
            "a join takes one row per branch of a row, but got 2 rows from 'a'");
}

TEST_F(ExecutorTest, AGlobalStepSeesAllRowsInOrderAndMayDropAndReorder) {
  const Graph graph = MakeGraph(R"(
models: {m: tiny}
steps:
  - {name: rows, type: Rows, data: [{text: a}, {text: c}, {text: b}], output_mappings: {text: value}}
  - {name: sort, type: Sort, keep: 2}
  - {name: ask, type: Ask, llm: m, input_mappings: {text: value}}
)");
  const RunReport report = RunGraph(graph, MakeModel(kEcho), dir_.path());
  EXPECT_EQ(Dump(JsonLines(Out("ask.jsonl"))),
            "{\"value\":\"c\",\"rows_seen\":3,\"answer\":\"c!\"}\n"
            "{\"value\":\"b\",\"rows_seen\":3,\"answer\":\"b!\"}\n");
  EXPECT_EQ(report.progress.steps.at(1).rows_dropped, 1u);
  // Mapped columns go by the step's name inside and by the data set's outside.
  fake::TempDir mapped;
  RunGraph(MakeGraph(R"(
steps:
  - {name: rows, type: Rows, data: [{text: a}, {text: b}]}
  - {name: sort, type: Sort, input_mappings: {value: text}, output_mappings: {rows_seen: n}}
)"),
           nullptr, mapped.path());
  EXPECT_EQ(Dump(JsonLines(mapped.path() / "out" / "sort.jsonl")),
            "{\"text\":\"b\",\"n\":2}\n{\"text\":\"a\",\"n\":2}\n");
}

// Rows of another shape than the hundred that the check of the graph looks at.
std::string HundredAnd(const std::string& row) {
  std::string data;
  for (size_t i = 0; i < kPeekRows; ++i) data += "{text: a}, ";
  return "  - {name: rows, type: Rows, data: [" + data + row + "]";
}

TEST_F(ExecutorTest, ARowOfASourceInWhichTwoColumnsWouldBecomeOneFailsAlone) {
  const Graph graph = MakeGraph("steps:\n" + HundredAnd("{text: new, value: old}, {text: z}") +
                                ", output_mappings: {text: value}}\n  - {name: d, type: Draw}\n");
  const RunReport report = RunGraph(graph, nullptr, dir_.path());
  EXPECT_EQ(report.outcome, RunOutcome::kDoneWithFailures);
  EXPECT_EQ(JsonLines(Out("d.jsonl")).size(), kPeekRows + 1);
  const std::vector<Json> failed = JsonLines(Out("failed.jsonl"));
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].at("step"), "rows");
  EXPECT_EQ(failed[0].at("lineage"), "100");
  EXPECT_EQ(failed[0].at("code"), "invalid");
  EXPECT_EQ(failed[0].at("reason"),
            "the columns 'text' and 'value' of the row would both become 'value'");
  EXPECT_EQ(failed[0].at("row"), Json({{"text", "new"}, {"value", "old"}}));
  EXPECT_EQ(report.progress.steps.at(0).rows_failed, 1u);
  EXPECT_EQ(report.progress.steps.at(0).rows_out, kPeekRows + 1);
  fake::TempDir stopped;
  EXPECT_EQ(RunGraph(MakeGraph("steps:\n" + HundredAnd("{text: new, value: old}") +
                               ", on_error: fail, output_mappings: {text: value}}\n"
                               "  - {name: d, type: Draw}\n"),
                     nullptr, stopped.path())
                .outcome,
            RunOutcome::kStoppedByFailure);
}

TEST_F(ExecutorTest, NoStepReplacesAColumnThatTheCheckDidNotSee) {
  const struct {
    const char* steps;  // behind the source
    const char* reason;
    size_t rows;  // that come out
  } cases[] = {
      {"  - {name: d, type: Draw}\n", "the row has a column 'number' already", kPeekRows + 1},
      {"  - {name: d, type: Draw, output_mappings: {number: x}}\n", "", kPeekRows + 1},
      {"  - {name: d, type: Split, parts: 1, output_mappings: {part: number}}\n",
       "the columns 'part' and 'number' of the row would both become 'number'", kPeekRows + 1},
      {"  - {name: d, type: Sort, input_mappings: {value: text}, output_mappings: {rows_seen: "
       "number}}\n",
       "the columns 'rows_seen' and 'number' of the row would both become 'number'", kPeekRows},
      {"  - {name: d, type: Split, parts: 1, output_mappings: {text: number}}\n",
       "the columns 'text' and 'number' of the row would both become 'number'", kPeekRows + 1},
  };
  for (const auto& test : cases) {
    fake::TempDir dir;
    const Graph graph =
        MakeGraph("steps:\n" + HundredAnd("{text: z, number: 7}") + "}\n" + test.steps);
    const RunReport report = RunGraph(graph, nullptr, dir.path());
    EXPECT_EQ(JsonLines(dir.path() / "out" / "d.jsonl").size(), test.rows) << test.steps;
    EXPECT_EQ(report.rows_failed, test.reason[0] == '\0' ? 0u : 1u) << test.steps;
    if (report.rows_failed == 0) continue;
    const Json failed = JsonLines(dir.path() / "out" / "failed.jsonl").at(0);
    EXPECT_THAT(failed.at("reason").get<std::string>(), HasSubstr(test.reason)) << test.steps;
    EXPECT_EQ(failed.at("row").at("number"), 7) << test.steps;
  }
}

TEST_F(ExecutorTest, AColumnInTheWayOfAStepsOwnNameStepsAside) {
  RunGraph(MakeGraph(R"(
steps:
  - {name: rows, type: Rows, data: [{value: 1, size: a, rows_seen: x}, {value: 2, size: b, rows_seen: y}]}
  - {name: sort, type: Sort, input_mappings: {value: size}, output_mappings: {rows_seen: n}}
  - {name: split, type: Split, parts: 1, output_mappings: {part: value2}}
)"),
           nullptr, dir_.path());
  EXPECT_EQ(Dump(JsonLines(Out("split.jsonl"))),
            "{\"value\":2,\"size\":\"b\",\"rows_seen\":\"y\",\"n\":2,\"value2\":0}\n"
            "{\"value\":1,\"size\":\"a\",\"rows_seen\":\"x\",\"n\":2,\"value2\":0}\n");
}

TEST_F(ExecutorTest, AJoinTakesAColumnFromTheBranchThatWroteItInAnyOrder) {
  // `number` is in a row that the check of the graph did not see, too.
  for (const char* data : {"[{text: a, number: old}]", ""}) {
    for (const char* after : {"[a, b]", "[b, a]"}) {
      fake::TempDir dir;
      const std::string rows = *data != '\0'
                                   ? std::string("  - {name: rows, type: Rows, data: ") + data + "}"
                                   : HundredAnd("{text: z, other: old}") + "}";
      const char* column = *data != '\0' ? "number" : "other";
      RunGraph(MakeGraph("steps:\n" + rows +
                         "\n  - {name: a, type: Draw, after: rows, output_mappings: {number: " +
                         column + "}}\n" +
                         "  - {name: b, type: Draw, after: rows, output_mappings: {number: b}}\n" +
                         "  - {name: j, type: Merge, after: " + after + "}\n"),
               nullptr, dir.path());
      for (const Json& row : JsonLines(dir.path() / "out" / "j.jsonl")) {
        EXPECT_TRUE(row.at(column).is_number()) << DumpJson(row);
      }
    }
  }
}

// Minutes if each column were looked for among the others.
TEST_F(ExecutorTest, WideRowsTakeTimeWithTheirColumns) {
  constexpr int kColumns = 90'000;  // a pipeline file has at most kYamlNodesMax nodes
  std::string row = "{value: 1";
  for (int i = 1; i < kColumns; ++i) row += fmt::format(", c{}: 0", i);
  const Graph graph = MakeGraph("steps:\n  - {name: rows, type: Rows, data: [" + row +
                                "}], output_mappings: {c1: x}}\n" + R"(
  - {name: a, type: Draw, after: rows, output_mappings: {number: a}}
  - {name: b, type: Split, parts: 1, after: rows, output_mappings: {c2: y}}
  - {name: j, type: Picky, after: b}
  - {name: sort, type: Sort, input_mappings: {value: x}}
)");
  const RunReport report = RunGraph(graph, nullptr, dir_.path());
  EXPECT_EQ(report.rows_written, 2u);
  EXPECT_EQ(JsonLines(Out("sort.jsonl")).at(0).size(), static_cast<size_t>(kColumns) + 2);
  EXPECT_EQ(PlanRun(graph, std::nullopt).steps.size(), 5u);
}

TEST_F(ExecutorTest, SourcesFollowOneAnotherAndLimitHoldsForEach) {
  const Graph graph = MakeGraph(R"(
steps:
  - {name: one, type: Rows, data: [{text: a}, {text: b}]}
  - {name: two, type: Rows, data: [{text: c}, {text: d}]}
  - {name: split, type: Split, after: [one, two]}
)");
  RunOptions options;
  options.limit = 1;
  RunGraph(graph, nullptr, dir_.path(), options);
  EXPECT_EQ(Dump(JsonLines(Out("split.jsonl"))),
            "{\"text\":\"a\",\"part\":0}\n{\"text\":\"a\",\"part\":1}\n"
            "{\"text\":\"c\",\"part\":0}\n{\"text\":\"c\",\"part\":1}\n");
  fake::TempDir empty;
  options.limit = 0;
  EXPECT_EQ(RunGraph(graph, nullptr, empty.path(), options).outcome, RunOutcome::kNothingProduced);
  EXPECT_EQ(FileText(empty.path() / "out" / "split.jsonl"), "");
}

TEST_F(ExecutorTest, AnEmptyInputProducesNothing) {
  const Graph graph =
      MakeGraph("steps:\n  - {name: rows, type: Rows}\n  - {name: s, type: Split}\n");
  const RunReport report = RunGraph(graph, nullptr, dir_.path());
  EXPECT_EQ(report.outcome, RunOutcome::kNothingProduced);
  EXPECT_EQ(ExitStatus(report.outcome), 3);
}

TEST_F(ExecutorTest, EveryWorkerMayWaitForTheModelAtOnce) {
  // Nobody is answered before 16 have asked: with fewer in flight the run would never end.
  std::barrier all_have_asked(16);
  ScriptedOptions options;
  options.num_threads = 16;
  const auto model = std::make_shared<ScriptedModel>(
      "busy",
      [&](const Request&, const std::string&) {
        all_have_asked.arrive_and_wait();
        Completion completion;
        completion.text = "yes";
        return Response{completion, {}};
      },
      options);
  RunOptions run;
  run.num_workers = 16;
  const RunReport report =
      RunGraph(MakeGraph("models: {m: t}\nsteps:\n  - {name: r, type: Rows, count: 96}\n"
                         "  - {name: a, type: Ask, llm: m, input_mappings: {text: id}}\n"),
               model, dir_.path(), run);
  EXPECT_EQ(report.rows_written, 96u);
  EXPECT_EQ(model->num_in_flight_max(), 16u);
}

TEST_F(ExecutorTest, WhatStopsEverythingIsAnErrorWithItsName) {
  const Graph source =
      MakeGraph("steps:\n  - {name: rows, type: Rows, data: [{a: 1}], fail: null}\n");
  Graph broken = source;
  broken.steps[0].params = Params(Json{{"data", Json::array()}, {"count", 0}, {"fail", "no disk"}});
  try {
    RunGraph(broken, nullptr, dir_.path());
    ADD_FAILURE() << "a broken source went unnoticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_EQ(error.message(), "step 'rows': no disk");
  }
  EXPECT_EQ(Json::parse(FileText(Out("run.json"))).at("outcome"), "error");
  // The model that does not load.
  struct NoModel : ModelSource {
    std::shared_ptr<LanguageModel> Acquire(const std::string& name) override {
      Throw(ErrorCode::kNotFound, "no model '{}'", name);
    }
  } none;
  RunOptions options;
  options.output_dir = dir_.path() / "out2";
  const Graph graph = MakeGraph(kTwoAsks);
  PipelineRun run(graph, none, options);
  EXPECT_THROW(
      try { run.Execute(); } catch (const Error& error) {
        EXPECT_EQ(error.message(), "no model 'm'");
        throw;
      },
      Error);
}

TEST_F(ExecutorTest, AFullDiskStopsTheRun) {
  std::filesystem::create_directories(dir_.path() / "out");
  std::filesystem::create_symlink("/dev/full", Out("two.partial.jsonl"));
  try {
    RunGraph(MakeGraph(kTwoAsks), MakeModel(kEcho), dir_.path());
    ADD_FAILURE() << "wrote to a full disk";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.message(), HasSubstr("two.partial.jsonl': No space left on device"));
  }
}

TEST_F(ExecutorTest, ASecondRunInTheSameFolderIsRefused) {
  const Graph graph = MakeGraph(kTwoAsks);
  fake::OneModel models(MakeModel(kEcho));
  RunOptions options;
  options.output_dir = dir_.path() / "out";
  PipelineRun first(graph, models, options);
  try {
    PipelineRun second(graph, models, options);
    ADD_FAILURE() << "two runs share a folder";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.message(), HasSubstr("is in use by another run (process "));
  }
  EXPECT_EQ(first.Execute().outcome, RunOutcome::kDone);
}

TEST_F(ExecutorTest, AStopKeepsWhatIsFinishedAndARerunDoesTheRest) {
  const Graph graph = MakeGraph(
      "models: {m: t}\nsteps:\n  - {name: r, type: Rows, count: 200}\n"
      "  - {name: a, type: Ask, llm: m, input_mappings: {text: id}}\n");
  std::stop_source stop;
  std::atomic<int> answered = 0;
  const auto stopping = std::make_shared<ScriptedModel>(
      "m",
      [&](const Request& request, const std::string& text) {
        if (++answered == 100) stop.request_stop();
        return MakeCompletion(text, std::get<Generation>(request.work).sampling, text);
      },
      ScriptedOptions{.num_threads = 2, .shuffle_seed = 3});
  RunOptions options;
  options.stop = stop.get_token();
  const RunReport report = RunGraph(graph, stopping, dir_.path(), options);
  EXPECT_EQ(report.outcome, RunOutcome::kInterrupted);
  EXPECT_EQ(ExitStatus(report.outcome), 130);
  EXPECT_FALSE(std::filesystem::exists(Out("a.jsonl")));
  const std::string partial = FileText(Out("a.partial.jsonl"));
  EXPECT_TRUE(partial.empty() || partial.back() == '\n');
  const int before = answered;
  EXPECT_EQ(RunGraph(graph, stopping, dir_.path()).outcome, RunOutcome::kDone);
  EXPECT_EQ(JsonLines(Out("a.jsonl")).size(), 200u);
  EXPECT_THAT(FileText(Out("a.jsonl")), ::testing::StartsWith(partial));
  // At most what was in flight is asked again: eight workers.
  EXPECT_LE(answered - before, 200 - before + 8);
}

}  // namespace
}  // namespace retort
