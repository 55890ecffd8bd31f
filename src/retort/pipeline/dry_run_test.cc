#include "retort/pipeline/dry_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "retort/pipeline/run_harness_test.h"

namespace retort {
namespace {

using ::testing::HasSubstr;

TEST(DryRun, CountsRowsAndRequestsAndShowsThePromptOfTheFirstRow) {
  const Graph graph = fake::MakeGraph(R"(
models: {m: tiny}
steps:
  - {name: rows, type: Rows, data: [{text: red}, {text: blue}], output_mappings: {text: color}}
  - {name: split, type: Split, parts: 3}
  - {name: ask, type: Ask, llm: m, rounds: 2, input_mappings: {text: color}}
  - {name: more, type: Ask, llm: m, input_mappings: {text: answer}, output_mappings: {answer: value}}
  - {name: sort, type: Sort}
)");
  const RunPlan plan = PlanRun(graph, std::nullopt);
  EXPECT_EQ(plan.num_source_rows, 2u);
  EXPECT_EQ(plan.num_requests, 18u);
  ASSERT_EQ(plan.steps.size(), 5u);
  EXPECT_EQ(plan.steps[1].rows_in, 2u);
  EXPECT_EQ(plan.steps[1].rows_out, 6u);
  EXPECT_EQ(plan.steps[2].num_requests, 12u);
  EXPECT_EQ(plan.steps[2].prompt, "[user]\nask red\n");
  EXPECT_EQ(plan.steps[3].prompt, "[user]\nask <answer 2 of ask>\n");
  EXPECT_EQ(plan.steps[3].columns, (std::vector<std::string>{"color", "part", "answer", "value"}));
  EXPECT_THAT(plan.steps[4].note, HasSubstr("sees all rows at once"));
  EXPECT_EQ(PlanRun(graph, 1).num_requests, 9u);
  EXPECT_EQ(PlanRun(graph, 0).num_requests, 0u);
  const std::string text = ToText(plan);
  EXPECT_THAT(text, HasSubstr("ask (Ask) after split on m\n  rows 6 -> 6, requests 12\n"));
  EXPECT_THAT(text, HasSubstr("    | ask red\n"));
  EXPECT_THAT(text, HasSubstr("2 source rows, about 18 requests to models"));
}

}  // namespace
}  // namespace retort
