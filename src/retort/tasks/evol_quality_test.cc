#include <gtest/gtest.h>

#include "retort/tasks/fake_row_context_test.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

const Row kRow = {{"instruction", "Name a fruit."}, {"response", "Apple."}};

TEST(EvolQuality, RewritesTheResponseAndKeepsTheInstruction) {
  FakeRowContext context;
  context.answers = {"A red apple.", "A red apple from the garden."};
  const Row out = RunTask(EvolQualityType(), {{"num_evolutions", 2}}, kRow, context);
  EXPECT_EQ(out["evolved_response"], "A red apple from the garden.");
  for (const std::string& prompt : context.prompts) {
    EXPECT_NE(prompt.find("Name a fruit."), std::string::npos);
  }
  EXPECT_NE(context.prompts[0].find("Apple."), std::string::npos);
  EXPECT_NE(context.prompts[1].find("A red apple."), std::string::npos);
}

TEST(EvolQuality, StoredWithAndWithoutTheOriginal) {
  for (const bool original : {false, true}) {
    FakeRowContext context;
    context.answers = {"r1"};
    const Row out = RunTask(EvolQualityType(),
                            {{"num_evolutions", 1},
                             {"store_evolutions", true},
                             {"include_original_response", original}},
                            kRow, context);
    EXPECT_EQ(out["evolved_responses"], original ? Json({"Apple.", "r1"}) : Json::array({"r1"}));
  }
}

TEST(EvolQuality, AnEmptyRewriteDoesNotTakeTheOthersAlong) {
  FakeRowContext context;
  context.answers = {"", "two"};
  EXPECT_EQ(RunTask(EvolQualityType(), {{"num_evolutions", 2}, {"store_evolutions", true}}, kRow,
                    context)["evolved_responses"],
            Json({nullptr, "two"}));
  context.answers = {"one", ""};
  EXPECT_EQ(RunTask(EvolQualityType(), {{"num_evolutions", 2}}, kRow, context)["evolved_response"],
            "one");
}

TEST(EvolQuality, ATemplateBlindToTheResponseIsWarnedOf) {
  const StepType type = EvolQualityType();
  const auto warnings = [&](const char* source) {
    return type.warnings(
        WithDefaults(type, {{"num_evolutions", 1}, {"mutation_templates", {{"A", source}}}}));
  };
  EXPECT_TRUE(warnings("{{ response }}").empty());
  ASSERT_EQ(warnings("{{ instruction }}").size(), 1u);
  EXPECT_NE(warnings("{{ instruction }}")[0].find("mutation_templates.A"), std::string::npos);
}

}  // namespace
}  // namespace retort
