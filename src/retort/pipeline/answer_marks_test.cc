#include "retort/pipeline/answer_marks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "retort/base/error.h"
#include "retort/pipeline/record_codec.h"
#include "retort/pipeline/run_harness_test.h"

namespace retort {
namespace {

using testing::HasSubstr;

// The run says how many rows hold a cut answer, from the ledger as well; and warns of many.
TEST(AnswerMarks, CutAnswersAreCountedAndWarnedOf) {
  fake::TempDir dir;
  std::string rows = "[";
  for (int i = 0; i < 20; ++i) rows += fmt::format("{}{{text: t{}}}", i == 0 ? "" : ", ", i);
  const Graph graph =
      fake::MakeGraph("models: {m: tiny}\nsteps:\n  - {name: r, type: Rows, data: " + rows +
                      "]}\n  - {name: a, type: Ask, llm: m, generation: "
                      "{max_new_tokens: 2}}\n");
  const auto run = [&](int num_long, bool again) {
    if (!again) std::filesystem::remove(dir.path() / "cache.sqlite");
    const auto model = std::make_shared<ScriptedModel>(
        "m" + std::to_string(num_long), [&](const Request& request, const std::string& text) {
          const int number = std::stoi(text.substr(text.find(" t") + 2));
          return MakeCompletion(number < num_long ? "too long an answer" : "short",
                                std::get<Generation>(request.work).sampling, text);
        });
    std::string warnings;
    RunOptions options;
    options.warn = [&](std::string_view line) { warnings += std::string(line) + "\n"; };
    const RunReport report = fake::RunGraph(graph, model, dir.path(), options);
    EXPECT_EQ(report.progress.steps.at(1).rows_cut, static_cast<uint64_t>(num_long));
    EXPECT_EQ(report.progress.steps.at(1).rows_cached, again ? 20u : 0u);
    const Json written = Json::parse(fake::FileText(dir.path() / "out/run.json"));
    EXPECT_EQ(written.at("steps").at(1).at("rows_cut"), num_long);
    EXPECT_EQ(written.at("warnings").size(), num_long > 1 ? 1u : 0u);
    return warnings;
  };
  for (const bool again : {false, true}) EXPECT_EQ(run(0, again), "");
  // At the share, and beyond it.
  static_assert(kCutShareWarned == 0.05);
  for (const bool again : {false, true}) EXPECT_EQ(run(1, again), "");
  for (const bool again : {false, true}) {
    EXPECT_THAT(run(2, again), HasSubstr("step 'a': in 2 of 20 rows an answer was cut after "
                                         "max_new_tokens (2)"));
  }
}

}  // namespace
}  // namespace retort
