#include "retort/cli/run_display.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  const std::vector<std::string> lines = ProgressLines(HalfWay(), 100);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[0], StartsWith("load    ████████████████████       8 rows"));
  EXPECT_THAT(lines[1], StartsWith("ask     ██████████░░░░░░░░░░       4 rows"));
  EXPECT_THAT(lines[2], StartsWith("expand  ██████████░░░░░░░░░░      12 rows"));
  EXPECT_THAT(lines[3], StartsWith("rate    █████░░░░░░░░░░░░░░░       6 rows"));
}

TEST(ProgressLines, KeptFailuresAreNotCountedTwice) {
  RunProgress progress = HalfWay();
  progress.steps[1].rows_failed = 4;
  EXPECT_THAT(ProgressLines(progress, 100)[1], HasSubstr(" ██████████░░░░░░░░░░ "));
}

TEST(ProgressLines, TimeLeftFollowsTheModelsWork) {
  // 200 tokens of 100 * 8/4 + 100 * 24/6 = 600 took 10 s.
  EXPECT_THAT(ProgressLines(HalfWay(), 100).back(), HasSubstr(", about 20 s left"));
  EXPECT_THAT(ProgressLine(HalfWay()), HasSubstr(", about 20 s left"));
}

TEST(ProgressLines, NoTimeLeftBeforeEveryTaskHasBegun) {
  RunProgress progress = HalfWay();
  progress.steps[3].rows_done = 0;
  EXPECT_THAT(ProgressLines(progress, 100).back(), Not(HasSubstr("left")));
}

TEST(ProgressLines, NoTimeLeftWhenAllIsDone) {
  RunProgress progress = HalfWay();
  progress.steps[1].rows_done = progress.steps[1].rows_out = 8;
  progress.steps[2] = Step("expand", {1}, 8, 8, 24);
  progress.steps[3].rows_in = progress.steps[3].rows_done = progress.steps[3].rows_out = 24;
  EXPECT_THAT(ProgressLines(progress, 100).back(), Not(HasSubstr("left")));
}

TEST(ProgressLines, AJoinTakesOneRowOfAllBranches) {
  RunProgress progress;
  progress.steps = {Step("load", {}, 0, 0, 4), Step("a", {0}, 4, 4, 4), Step("b", {0}, 4, 4, 4),
                    Step("join", {1, 2}, 2, 2, 2)};
  progress.steps[3].is_join = true;
  EXPECT_THAT(ProgressLines(progress, 100)[3], HasSubstr(" ██████████░░░░░░░░░░ "));
}

TEST(ProgressLines, NothingHasBegun) {
  EXPECT_THAT(ProgressLines(RunProgress(), 100).back(), StartsWith("0.0 s, 0 tokens/s"));
}

TEST(ProgressLines, CutToTheTerminal) {
  for (const std::string& line : ProgressLines(HalfWay(), 30)) EXPECT_LE(line.size(), 30u + 2 * 20);
}

}  // namespace
}  // namespace retort
