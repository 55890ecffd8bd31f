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

}  // namespace
}  // namespace retort
