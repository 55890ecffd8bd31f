#include <gtest/gtest.h>

#include "retort/base/error.h"
#include "retort/tasks/fake_row_context_test.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

const Row kRow = {{"instruction", "Name a fruit."}};

TEST(EvolInstruct, EachEvolutionRewritesTheOneBefore) {
  FakeRowContext context;
  context.answers = {"Name a red fruit.", "Name a red fruit that grows on trees."};
  const Row out = RunTask(EvolInstructType(), {{"num_evolutions", 2}}, kRow, context);
  EXPECT_EQ(out["evolved_instruction"], "Name a red fruit that grows on trees.");
  EXPECT_FALSE(out.contains("answer"));
  ASSERT_EQ(context.prompts.size(), 2u);
  EXPECT_NE(context.prompts[0].find("Name a fruit."), std::string::npos);
  EXPECT_NE(context.prompts[1].find("Name a red fruit."), std::string::npos);
}

TEST(EvolInstruct, StoredWithOriginalAndAnswers) {
  FakeRowContext context;
  context.answers = {"e1", "e2", "a0", "a1", "a2"};
  const Row out = RunTask(EvolInstructType(),
                          {{"num_evolutions", 2},
                           {"store_evolutions", true},
                           {"generate_answers", true},
                           {"include_original_instruction", true}},
                          kRow, context);
  EXPECT_EQ(out["evolved_instructions"], Json({"Name a fruit.", "e1", "e2"}));
  EXPECT_EQ(out["answers"], Json({"a0", "a1", "a2"}));
  EXPECT_EQ(context.prompts[3], "user: e1\n");
}

TEST(EvolInstruct, TheOutputsAreThoseItPromises) {
  const StepType type = EvolInstructType();
  for (const bool store : {false, true}) {
    for (const bool answer : {false, true}) {
      const Json set = {
          {"num_evolutions", 1}, {"store_evolutions", store}, {"generate_answers", answer}};
      FakeRowContext context;
      context.answers = {"e1", "a1"};
      const Row out = RunTask(type, set, kRow, context);
      std::vector<std::string> columns;
      for (const auto& [column, value] : out.items()) columns.push_back(column);
      EXPECT_EQ(columns, type.outputs(WithDefaults(type, set)));
    }
  }
}

TEST(EvolInstruct, MutationsAreDrawnAtRandomAndCanBeTheUsersOwn) {
  const Json own = {{"num_evolutions", 1},
                    {"mutation_templates",
                     {{"A", "first {{ instruction }}"}, {"B", "second {{ instruction }}"}}}};
  for (const uint64_t random : {0, 1}) {
    FakeRowContext context;
    context.random = random;
    context.answers = {"x"};
    RunTask(EvolInstructType(), own, kRow, context);
    EXPECT_EQ(context.prompts[0],
              random == 0 ? "user: first Name a fruit.\n" : "user: second Name a fruit.\n");
  }
  FakeRowContext drawn;  // a draw for each evolution
  drawn.answers = {"x", "y"};
  Json twice = own;
  twice["num_evolutions"] = 2;
  RunTask(EvolInstructType(), twice, kRow, drawn);
  EXPECT_EQ(drawn.prompts[0], "user: first Name a fruit.\n");
  EXPECT_EQ(drawn.prompts[1], "user: second x\n");
  std::set<std::string> prompts;
  for (uint64_t random = 0; random < 5; ++random) {
    FakeRowContext context;
    context.random = random;
    context.answers = {"x"};
    RunTask(EvolInstructType(), {{"num_evolutions", 1}}, kRow, context);
    prompts.insert(context.prompts[0]);
  }
  EXPECT_EQ(prompts.size(), 5u);
}

TEST(EvolInstruct, AnEmptyRewriteFailsTheRowAndKeepsTheRawText) {
  FakeRowContext context;
  context.answers = {"\n \n"};
  EXPECT_THROW(RunTask(EvolInstructType(), {{"num_evolutions", 1}}, kRow, context), Error);
  EXPECT_EQ(context.raw, "\n \n");
}

TEST(EvolInstruct, StructuredAnswersAreStoredAsTheyWereGenerated) {
  FakeRowContext context;
  context.structured = true;
  context.answers = {" x\n", "\n"};
  const Row out = RunTask(EvolInstructType(), {{"num_evolutions", 1}, {"generate_answers", true}},
                          {{"instruction", "a"}}, context);
  EXPECT_EQ(out["evolved_instruction"], " x\n");
  EXPECT_EQ(out["answer"], "\n");
}

TEST(EvolInstruct, BadParametersAreFoundBeforeAnythingRuns) {
  const StepType type = EvolInstructType();
  for (const Json& set :
       {Json{{"mutation_templates", Json::object()}}, Json{{"mutation_templates", {{"A", 3}}}},
        Json{{"mutation_templates", {{"A", "{{ response }}"}}}},
        Json{{"generate_answers", true}, {"chat_template", "none"}}}) {
    Json values = {{"num_evolutions", 1}};
    values.update(set);
    EXPECT_THROW(type.check(WithDefaults(type, values)), Error) << set.dump();
  }
}

// The chain goes on from the last text there is.
TEST(EvolInstruct, AnEmptyRewriteDoesNotTakeTheOthersAlong) {
  FakeRowContext context;
  context.answers = {"one", " ", "three"};
  const Json stored = {{"num_evolutions", 3},
                       {"store_evolutions", true},
                       {"include_original_instruction", true},
                       {"add_finish_reason", true}};
  Row out = RunTask(EvolInstructType(), stored, kRow, context);
  EXPECT_EQ(out["evolved_instructions"], Json({"Name a fruit.", "one", nullptr, "three"}));
  EXPECT_EQ(out["finish_reason"], Json({nullptr, "stop", "stop", "stop"}));
  EXPECT_NE(context.prompts.at(2).find("one"), std::string::npos);

  context.answers = {"one", context.cut, ""};
  out = RunTask(EvolInstructType(), {{"num_evolutions", 3}, {"add_finish_reason", true}}, kRow,
                context);
  EXPECT_EQ(out["evolved_instruction"], "(cut)");
  EXPECT_EQ(out["finish_reason"], "length");

  context.answers = {"", "", " "};
  EXPECT_THROW(RunTask(EvolInstructType(), {{"num_evolutions", 3}}, kRow, context), Error);
  EXPECT_EQ(context.raw, R"(["",""," "])");
}

TEST(EvolInstruct, AnswersFollowTheInstructionsThereAre) {
  FakeRowContext context;
  context.answers = {"one", "", "three", "A", " "};
  const Json set = {{"num_evolutions", 3}, {"store_evolutions", true}, {"generate_answers", true}};
  const Row out = RunTask(EvolInstructType(), set, kRow, context);
  EXPECT_EQ(out["evolved_instructions"], Json({"one", nullptr, "three"}));
  EXPECT_EQ(out["answers"], Json({"A", nullptr, nullptr}));
}

TEST(EvolInstruct, ATemplateWithoutTheInstructionIsRefused) {
  const StepType type = EvolInstructType();
  const auto check = [&](const char* source) {
    type.check(
        WithDefaults(type, {{"num_evolutions", 1}, {"mutation_templates", {{"A", source}}}}));
  };
  EXPECT_NO_THROW(check("{{ instruction }}!"));
  EXPECT_THROW(check("{instruction}!"), Error);
}

}  // namespace
}  // namespace retort
