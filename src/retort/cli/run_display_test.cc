#include "retort/cli/run_display.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "retort/cli/table.h"

namespace retort {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

StepProgress Step(std::string name, std::vector<size_t> after, uint64_t in, uint64_t done,
                  uint64_t out) {
  StepProgress step;
  step.name = std::move(name);
  step.is_root = after.empty();
  step.after = std::move(after);
  step.rows_in = in;
  step.rows_done = done;
  step.rows_out = out;
  return step;
}

// A source of 8 rows, each answered, made three of, and rated; half way.
RunProgress HalfWay() {
  RunProgress progress;
  progress.steps = {Step("load", {}, 0, 0, 8), Step("ask", {0}, 8, 4, 4),
                    Step("expand", {1}, 4, 4, 12), Step("rate", {2}, 12, 6, 6)};
  progress.steps[0].ended = true;
  for (const size_t model_step : {1, 3}) {
    progress.steps[model_step].uses_model = true;
    progress.steps[model_step].completion_tokens = 100;
  }
  progress.wall_s = 10;
  return progress;
}

TEST(ProgressLines, BarsMeasureAgainstWhatIsToCome) {
  const std::vector<std::string> lines = ProgressLines(HalfWay(), 100, 99);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[0], StartsWith("load    ████████████████████       8 rows"));
  EXPECT_THAT(lines[1], StartsWith("ask     ██████████░░░░░░░░░░       4 rows"));
  EXPECT_THAT(lines[2], StartsWith("expand  ██████████░░░░░░░░░░      12 rows"));
  EXPECT_THAT(lines[3], StartsWith("rate    █████░░░░░░░░░░░░░░░       6 rows"));
}

TEST(ProgressLines, KeptFailuresAreNotCountedTwice) {
  RunProgress progress = HalfWay();
  progress.steps[1].rows_failed = 4;
  EXPECT_THAT(ProgressLines(progress, 100, 99)[1], HasSubstr(" ██████████░░░░░░░░░░ "));
}

TEST(ProgressLines, TimeLeftFollowsTheModelsWork) {
  // 200 tokens of 100 * 8/4 + 100 * 24/6 = 600 took 10 s.
  EXPECT_THAT(ProgressLines(HalfWay(), 100, 99).back(), HasSubstr(", about 20 s left"));
  EXPECT_THAT(ProgressLine(HalfWay()), HasSubstr(", about 20 s left"));
}

// What comes from the prefix cache is not computed.
TEST(ProgressLines, TimeLeftLeavesOutCachedTokens) {
  RunProgress progress = HalfWay();
  progress.steps[1].prompt_tokens = progress.steps[1].cached_tokens = 100'000;
  EXPECT_THAT(ProgressLine(progress), HasSubstr(", about 20 s left"));
}

TEST(ProgressLines, NoTimeLeftBeforeEveryTaskHasBegun) {
  RunProgress progress = HalfWay();
  progress.steps[3].rows_done = 0;
  EXPECT_THAT(ProgressLines(progress, 100, 99).back(), Not(HasSubstr("left")));
}

TEST(ProgressLines, NoTimeLeftWhenAllIsDone) {
  RunProgress progress = HalfWay();
  progress.steps[1].rows_done = progress.steps[1].rows_out = 8;
  progress.steps[2] = Step("expand", {1}, 8, 8, 24);
  progress.steps[3].rows_in = progress.steps[3].rows_done = progress.steps[3].rows_out = 24;
  EXPECT_THAT(ProgressLines(progress, 100, 99).back(), Not(HasSubstr("left")));
}

TEST(ProgressLines, AJoinTakesOneRowOfAllBranches) {
  RunProgress progress;
  progress.steps = {Step("load", {}, 0, 0, 4), Step("a", {0}, 4, 4, 4), Step("b", {0}, 4, 4, 4),
                    Step("join", {1, 2}, 2, 2, 2)};
  progress.steps[3].is_join = true;
  EXPECT_THAT(ProgressLines(progress, 100, 99)[3], HasSubstr(" ██████████░░░░░░░░░░ "));
}

TEST(ProgressLines, NothingHasBegun) {
  EXPECT_THAT(ProgressLines(RunProgress(), 100, 99).back(), StartsWith("0.0 s, 0 tokens/s"));
}

TEST(ProgressLines, CutToTheTerminal) {
  RunProgress progress = HalfWay();
  progress.steps[1].name = std::string(100, 'x');
  for (const size_t width : {1u, 10u, 30u, 80u}) {
    for (const std::string& line : ProgressLines(progress, width, 99)) {
      EXPECT_LE(DisplayWidth(line), width) << line;
    }
  }
}

// A long name takes a third of the width: the bars of all steps stay in sight.
TEST(ProgressLines, ALongNameHidesNoBar) {
  RunProgress progress = HalfWay();
  progress.steps[1].name = std::string(50, 'a') + std::string(50, 'z');
  for (size_t i = 0; i < progress.steps.size(); ++i) {
    EXPECT_THAT(ProgressLines(progress, 80, 99)[i], HasSubstr(" rows"));
  }
  EXPECT_THAT(ProgressLines(progress, 80, 99)[1], StartsWith("aaaaaaaaaaaaa…zzzzzzzzzzzz  ███"));
}

TEST(ProgressLines, NeverMoreLinesThanThereAre) {
  RunProgress progress = HalfWay();
  for (size_t num_lines = 1; num_lines <= 6; ++num_lines) {
    const auto lines = ProgressLines(progress, 80, num_lines);
    EXPECT_EQ(lines.size(), std::min<size_t>(num_lines, 5));
    EXPECT_THAT(lines.back(), HasSubstr("tokens/s"));
  }
  // The source and the expansion are done with what came: the tasks at work are shown.
  const auto lines = ProgressLines(progress, 80, 4);
  EXPECT_THAT(lines[0], StartsWith("ask "));
  EXPECT_THAT(lines[1], StartsWith("rate "));
  EXPECT_EQ(lines[2], "... and 2 steps");
}

TEST(ReportText, FitsTheTerminal) {
  RunReport report;
  report.progress = HalfWay();
  StepProgress& step = report.progress.steps[1];
  step.name = "a_step_with_a_long_name_that_says_what_it_does";
  step.rows_failed = 12345;
  step.failures = {{"exhausted", 12000}, {"invalid", 345}};
  step.rows_cached = step.rows_upstream_failed = step.rows_dropped = step.rows_cut = 1234567;
  step.rows_with_gaps = step.num_requests = step.num_requests_cached = 1234567;
  for (const size_t width : {80u, 120u}) {
    std::istringstream lines(ReportText(report, 1, width));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(DisplayWidth(line), width) << line;
  }
  EXPECT_THAT(ReportText(report, 1, SIZE_MAX), HasSubstr(step.name));
}

TEST(ReportText, ColumnsOfZerosAreLeftOut) {
  RunReport report;
  report.progress = HalfWay();
  EXPECT_THAT(ReportText(report, 1, 80), Not(HasSubstr("cut")));
  report.progress.steps[1].rows_cut = 3;
  EXPECT_THAT(ReportText(report, 1, 80), HasSubstr("cut"));
}

}  // namespace
}  // namespace retort
