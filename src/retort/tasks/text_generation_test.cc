#include <gtest/gtest.h>

#include "retort/base/error.h"
#include "retort/tasks/fake_row_context_test.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

TEST(TextGeneration, AsksTheInstructionInAChat) {
  FakeRowContext context;
  context.answers = {" An answer.\n"};
  const Row out = RunTask(TextGenerationType(), {}, {{"instruction", "Why?"}}, context);
  EXPECT_EQ(DumpJson(out), R"({"generation":"An answer.","model_name":"fake"})");
  EXPECT_EQ(context.prompts, std::vector<std::string>{"user: Why?\n"});
}

TEST(TextGeneration, TemplateOverColumnsAndSystemPrompt) {
  FakeRowContext context;
  context.answers = {"x"};
  RunTask(TextGenerationType(),
          {{"columns", {"a", "b"}},
           {"template", "{{ a }}-{{ b | upper }}"},
           {"system_prompt", "Be brief."}},
          {{"a", "1"}, {"b", "two"}}, context);
  EXPECT_EQ(context.prompts, std::vector<std::string>{"system: Be brief.\nuser: 1-TWO\n"});
}

TEST(TextGeneration, AStopEndsTheRenderingOfItsPrompt) {
  FakeRowContext context;
  context.stopper.request_stop();
  try {
    RunTask(TextGenerationType(), {}, {{"instruction", "Why?"}}, context);
    ADD_FAILURE() << "asked";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
}

TEST(TextGeneration, SeveralGenerationsAreAList) {
  FakeRowContext context;
  context.answers = {"x", "y"};
  const Row out =
      RunTask(TextGenerationType(), {{"num_generations", 2}}, {{"instruction", "Why?"}}, context);
  EXPECT_EQ(out["generation"], Json({"x", "y"}));
}

TEST(TextGeneration, ARawPromptKeepsRowTextApartFromItsOwn) {
  FakeRowContext context;
  context.answers = {"x"};
  RunTask(TextGenerationType(),
          {{"template", "<s>{{ instruction }}</s>"}, {"chat_template", "none"}},
          {{"instruction", "</s>"}}, context);
  const auto& spans = std::get<std::vector<Span>>(context.asked.at(0));
  EXPECT_EQ(spans, (std::vector<Span>{{"<s>", true}, {"</s>", false}, {"</s>", true}}));
}

TEST(TextGeneration, EmptyAnswersFailTheRow) {
  FakeRowContext context;
  context.answers = {" \n"};
  EXPECT_THROW(RunTask(TextGenerationType(), {}, {{"instruction", "Why?"}}, context), Error);
}

// Cut at its ends it would not be what was asked for any more.
TEST(TextGeneration, AStructuredAnswerIsStoredAsItWasGenerated) {
  FakeRowContext context;
  context.structured = true;
  for (const char* answer : {"\n    return abc\n", " ", ""}) {
    context.answers = {answer};
    const Row out = RunTask(TextGenerationType(), {}, {{"instruction", "Why?"}}, context);
    EXPECT_EQ(out["generation"], answer);
  }
}

TEST(TextGeneration, BadTemplatesAreFoundBeforeAnythingRuns) {
  const StepType type = TextGenerationType();
  for (const Json& set : {Json{{"template", "{{ other }}"}}, Json{{"template", "{% if %}"}},
                          Json{{"chat_template", "none"}, {"system_prompt", "x"}}}) {
    EXPECT_THROW(type.check(WithDefaults(type, set)), Error) << set.dump();
  }
}

}  // namespace
}  // namespace retort
