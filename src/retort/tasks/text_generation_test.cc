#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "retort/base/error.h"
#include "retort/tasks/fake_row_context_test.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

using testing::HasSubstr;

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

// One bad answer of several does not take the others along.
TEST(TextGeneration, AnEmptyAnswerAmongSeveralIsNull) {
  const Row row = {{"instruction", "Why?"}};
  const auto ask = [&](std::deque<std::string> answers, FakeRowContext& context) {
    context.answers = std::move(answers);
    return RunTask(TextGenerationType(), {{"num_generations", 3}}, row, context)["generation"];
  };
  FakeRowContext context;
  EXPECT_EQ(ask({"x", " \n", "z"}, context), Json({"x", nullptr, "z"}));
  EXPECT_EQ(ask({"", "y", ""}, context), Json({nullptr, "y", nullptr}));
  EXPECT_EQ(ask({"x", context.unmet, "z"}, context), Json({"x", nullptr, "z"}));
  EXPECT_EQ(context.raw, R"j(["x","(unmet)","z"])j");
  try {
    ask({"", " ", "\n"}, context);
    FAIL() << "no answer at all is a failure";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    EXPECT_THAT(error.message(), HasSubstr("each of the model's 3 answers is empty"));
  }
  EXPECT_EQ(context.raw, R"([""," ","\n"])");
  try {
    ask({"", context.unmet, ""}, context);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kExhausted);  // the one that says why
  }
}

TEST(TextGeneration, FinishReasonAndRawTextWhereAsked) {
  FakeRowContext context;
  context.answers = {" x\n", context.cut};
  const Json set = {{"num_generations", 2}, {"add_finish_reason", true}, {"add_raw_output", true}};
  const Row out = RunTask(TextGenerationType(), set, {{"instruction", "Why?"}}, context);
  EXPECT_EQ(DumpJson(out), R"j({"generation":["x","(cut)"],"finish_reason":["stop","length"],)j"
                           R"j("raw_output":[" x\n","(cut)"],"model_name":"fake"})j");
  context.answers = {context.cut};
  EXPECT_EQ(RunTask(TextGenerationType(), {{"add_finish_reason", true}}, {{"instruction", "Why?"}},
                    context)["finish_reason"],
            "length");
  // What is declared is what is made.
  for (const auto& [asked, names] : std::map<std::string, std::vector<std::string>>{
           {"{}", {"generation", "model_name"}},
           {R"({"add_finish_reason": true})", {"generation", "finish_reason", "model_name"}},
           {R"({"add_raw_output": true})", {"generation", "raw_output", "model_name"}}}) {
    EXPECT_EQ(TextGenerationType().outputs(WithDefaults(TextGenerationType(), Json::parse(asked))),
              names);
  }
}

TEST(TextGeneration, OptionalColumnsAreUndefinedWhereARowLacksThem) {
  const Json set = {{"optional_columns", {"context"}},
                    {"template", "{{ instruction }}|{{ context | default('none') }}"}};
  for (const auto& [row, prompt] :
       std::map<std::string, std::string>{{R"({"instruction": "a"})", "a|none"},
                                          {R"({"instruction": "a", "context": null})", "a|none"},
                                          {R"({"instruction": "a", "context": ""})", "a|"},
                                          {R"({"instruction": "a", "context": "b"})", "a|b"}}) {
    FakeRowContext context;
    context.answers = {"x"};
    RunTask(TextGenerationType(), set, Json::parse(row), context);
    EXPECT_EQ(context.prompts.at(0), "user: " + prompt + "\n") << row;
  }
}

// Text that structured_output asks for is kept to the letter.
TEST(TextGeneration, AStructuredAnswerIsNotTrimmed) {
  FakeRowContext context;
  context.structured = true;
  context.answers = {"\n    return abc\n"};
  EXPECT_EQ(RunTask(TextGenerationType(), {}, {{"instruction", "Why?"}}, context)["generation"],
            "\n    return abc\n");
}

std::string Refusal(const Json& set) {
  const StepType type = TextGenerationType();
  try {
    type.check(WithDefaults(type, set));
  } catch (const Error& error) {
    return error.message();
  }
  return "";
}

TEST(TextGeneration, ATemplateWithoutItsColumnsIsRefused) {
  for (const char* source : {"Answer this: {instruction}", "Answer this.", "", "%(instruction)s",
                             "$instruction", "{% raw %}{{ instruction }}{% endraw %}",
                             "{# {{ instruction }} #}", "{{ 'instruction' }}"}) {
    EXPECT_THAT(Refusal({{"template", source}}),
                testing::AllOf(HasSubstr("uses none of instruction"),
                               HasSubstr("'{{ instruction }}'"), HasSubstr("'columns: []'")))
        << source;
  }
  EXPECT_EQ(Refusal({{"template", "Say a word."}, {"columns", Json::array()}}), "");
  EXPECT_EQ(Refusal({{"template", "{% if instruction %}x{% endif %}"}}), "");
  EXPECT_EQ(Refusal({{"template", "{{ b }}"}, {"columns", {"a", "b"}}}), "");
  EXPECT_THAT(Refusal({{"template", "{{ text }}"}, {"columns", Json::array()}}),
              testing::AllOf(HasSubstr("'text'"), HasSubstr("has no columns"),
                             HasSubstr("name it in 'columns'")));
}

TEST(TextGeneration, LikelyMistakesAreWarnedOf) {
  const auto warnings = [](const Json& set) {
    const StepType type = TextGenerationType();
    return type.warnings(WithDefaults(type, set));
  };
  using testing::ElementsAre;
  EXPECT_THAT(warnings(Json::object()), testing::IsEmpty());
  EXPECT_THAT(warnings({{"template", "{{ a }} {b}"}, {"columns", {"a", "b"}}}),
              ElementsAre(HasSubstr("'{b}', which is sent as it stands"),
                          HasSubstr("does not use the column 'b'")));
  EXPECT_THAT(warnings({{"template", "{{ a }} {{b}} and {b}"}, {"columns", {"a", "b"}}}),
              ElementsAre(HasSubstr("'{b}'")));
  EXPECT_THAT(warnings({{"template", "{{instruction}}{\"instruction\": 1}"}}), testing::IsEmpty());
  EXPECT_THAT(warnings({{"system_prompt", "You know {{ instruction }}."}}),
              ElementsAre(HasSubstr("'system_prompt' holds '{{'")));
  EXPECT_THAT(warnings({{"system_prompt", "You know {instruction}."}}),
              ElementsAre(HasSubstr("'system_prompt' holds '{instruction}'")));
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
