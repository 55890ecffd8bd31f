// Rows that came of one row, or look like one another, are told apart: in what they draw, in what
// they are served, in whether they failed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "retort/pipeline/run_harness_test.h"
#include "retort/pipeline/step_runtime.h"

namespace retort {
namespace {

using fake::JsonLines;
using fake::MakeGraph;
using fake::MakeModel;
using fake::RunGraph;

// Of a column of a file of rows.
std::vector<std::string> Values(const std::filesystem::path& path, const char* column) {
  std::vector<std::string> values;
  for (const Json& row : JsonLines(path)) values.push_back(DumpJson(row.at(column)));
  return values;
}

size_t NumDistinct(const std::vector<std::string>& values) {
  return std::set<std::string>(values.begin(), values.end()).size();
}

TEST(RunKeys, TheRowsThatOneRowBecameDrawForThemselves) {
  fake::TempDir dir;
  const Json seeds = Json::parse(R"({"rules": [{"match": ".", "reply": "${seed}"}]})");
  RunGraph(MakeGraph("models: {m: {path: t, generation: {temperature: 1}}}\nsteps:\n"
                     "  - {name: rows, type: Rows, data: [{text: a}]}\n"
                     "  - {name: split, type: Split, parts: 20}\n"
                     "  - {name: ask, type: Ask, llm: m}\n"
                     "  - {name: draw, type: Draw}\n"),
           MakeModel(seeds), dir.path());
  EXPECT_EQ(NumDistinct(Values(dir.path() / "out" / "draw.jsonl", "answer")), 20u);
  EXPECT_GE(NumDistinct(Values(dir.path() / "out" / "draw.jsonl", "number")), 15u);  // of 1000
}

// A step that sees all rows, and gives each of them three times.
class Thrice : public GlobalStep {
 public:
  std::vector<Output> Process(std::vector<Row> rows, const StepContext&) const override {
    std::vector<Output> outputs;
    for (size_t i = 0; i < rows.size(); ++i) outputs.insert(outputs.end(), 3, {rows[i], i});
    return outputs;
  }
};

TEST(RunKeys, TheRowsThatAGlobalStepMadeOfOneRowAreSeveral) {
  std::vector<StepType> types = fake::Types();
  types.push_back({.name = "Thrice",
                   .kind = StepKind::kGlobal,
                   .accepts_null = true,
                   .create = [](const Params&) { return std::make_unique<Thrice>(); }});
  Problems problems;
  PipelineConfig config = ParseConfig(
      "models: {m: {path: t, generation: {temperature: 1}}}\nsteps:\n"
      "  - {name: rows, type: Rows, data: [{text: a}, {text: bad}]}\n"
      "  - {name: first, type: Ask, llm: m, prompt: 'is ', output_mappings: {answer: first}}\n"
      "  - {name: all, type: Thrice}\n"
      "  - {name: ask, type: Ask, llm: m, input_mappings: {text: first}}\n",
      "p.yaml", {}, problems);
  const Graph graph = BuildGraph(std::move(config), types, {}, problems);
  problems.ThrowIfAny();
  fake::TempDir dir;
  const RunReport report =
      RunGraph(graph, MakeModel(Json::parse(R"j({"rules": [{"match": "is (\\S+)", "reply": "$1"},
                                          {"match": ".", "reply": "${seed}"}]})j")),
               dir.path());
  std::vector<std::string> answers = Values(dir.path() / "out" / "ask.jsonl", "answer");
  ASSERT_EQ(answers.size(), 6u);
  answers.resize(3);
  EXPECT_EQ(NumDistinct(answers), 3u);
  // What failed before it is still known to have failed behind it.
  EXPECT_EQ(report.rows_failed, 1u);
  EXPECT_EQ(report.progress.steps.at(3).rows_upstream_failed, 3u);
  EXPECT_EQ(report.progress.steps.at(3).rows_failed, 0u);
}

// Requests that are lost now and then are not a model that is gone.
TEST(RunKeys, LostRequestsCountOnlyInARow) {
  fake::TempDir dir;
  const auto model = MakeModel(Json::parse(
      R"j({"rules": [{"match": "ask \\d*5\\n", "error": "unavailable", "message": "lost"}]})j"));
  const RunReport report =
      RunGraph(MakeGraph("models: {m: t}\nsteps:\n  - {name: r, type: Rows, count: 300}\n"
                         "  - {name: a, type: Ask, llm: m, input_mappings: {text: id}}\n"),
               model, dir.path());
  EXPECT_EQ(report.outcome, RunOutcome::kDoneWithFailures);
  EXPECT_EQ(report.rows_failed, 30u);
  EXPECT_GT(report.rows_failed, static_cast<uint64_t>(kUnansweredMax));
}

}  // namespace
}  // namespace retort
