// The pipelines of examples/ are valid, and every prompt of theirs can be shown without a model.
#include <gtest/gtest.h>

#include <filesystem>

#include "retort/pipeline/dry_run.h"
#include "retort/steps/step_list.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

TEST(Examples, AreValidAndCanBePlanned) {
  std::vector<StepType> types(StepList().begin(), StepList().end());
  types.insert(types.end(), TaskList().begin(), TaskList().end());
  int num_pipelines = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(RETORT_SOURCE_DIR) / "examples")) {
    if (entry.path().extension() != ".yaml") continue;
    ++num_pipelines;
    std::vector<Problem> warnings;
    const Graph graph = LoadPipeline(entry.path(), {}, types, {}, &warnings);
    EXPECT_TRUE(warnings.empty()) << ProblemText(warnings.front());
    const RunPlan plan = PlanRun(graph, std::nullopt);
    EXPECT_GT(plan.num_source_rows, 0u);
    for (const PlannedStep& step : plan.steps) {
      EXPECT_EQ(step.prompt.has_value(), !step.model.empty())
          << entry.path() << ": " << step.name << ": " << step.note;
    }
    if (::testing::Test::HasFailure()) std::printf("%s\n", ToText(plan).c_str());
  }
  EXPECT_GT(num_pipelines, 0);
}

}  // namespace
}  // namespace retort
