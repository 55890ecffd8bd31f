// ComplexityScorer and QualityScorer, and what they share.
#include <gtest/gtest.h>

#include <cmath>

#include "retort/base/error.h"
#include "retort/llm/scripted_model.h"
#include "retort/tasks/fake_row_context_test.h"
#include "retort/tasks/list_scorer.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

// What models answer, good and bad.
TEST(ParseListwiseScores, TableOfAnswers) {
  struct Case {
    std::string answer;
    std::vector<double> scores;  // empty: refused
  };
  const std::vector<Case> cases = {
      {"[1] Score: 3\n[2] Score: 5", {3, 5}},
      {"[1] Score: 3\n[2] Score: 5\n", {3, 5}},
      {"Here are the scores:\n[1] Score: 3\n\n[2] Score: 5\nI hope this helps!", {3, 5}},
      {"[2] Score: 5\n[1] Score: 3", {3, 5}},  // by number, not by place
      {"1. 3\n2. 5", {3, 5}},
      {"1) score = 3.5\n2) score = 5/6", {3.5, 5}},
      {"- [1]: 3\n- [2]: 5", {3, 5}},
      {"**[1]** Score: **3**\n**[2]** Score: **5**", {3, 5}},
      {"[1] SCORE: 3\r\n[2] score: 5\r\n", {3, 5}},
      {"[1] Score: 3\n[2] Score: 5\n[3] Score: 4", {3, 5}},  // one more than asked
      {"[1] Score: 3\n[1] Score: 3\n[2] Score: 5", {3, 5}},  // said twice alike
      {"[1] Score: 3", {}},
      {"", {}},
      {"Both are fine.", {}},
      {"[1] Score: 3\n[2] Score: high", {}},
      {"[1] Score: 3\n[2] Score: 7", {}},
      {"[1] Score: 0\n[2] Score: 3", {}},
      {fmt::format("[1] Score: {}\n[2] Score: {}", kListwiseScoreMin, kListwiseScoreMax),
       {kListwiseScoreMin, kListwiseScoreMax}},
      {fmt::format("[1] Score: {}\n[2] Score: 3", kListwiseScoreMin - 0.01), {}},
      {fmt::format("[1] Score: {}\n[2] Score: 3", kListwiseScoreMax + 0.01), {}},
      {"[1] Score: 3\n[1] Score: 4\n[2] Score: 5", {}},
      {"[1] Score: 3\n[2] Score: nan", {}},
      {"[1] Score: 3\n[2] Score: 1e999", {}},
      {"[99999999999999999999] Score: 3\n[2] Score: 3", {}},
      {"3\n5", {}},
  };
  for (const Case& test : cases) {
    if (test.scores.empty()) {
      EXPECT_THROW(ParseListwiseScores(test.answer, 2), Error) << test.answer;
    } else {
      EXPECT_EQ(ParseListwiseScores(test.answer, 2), test.scores) << test.answer;
    }
  }
}

TEST(ComplexityScorer, ListwiseAsksForOneLinePerInstruction) {
  FakeRowContext context;
  context.answers = {"[1] Score: 2\n[2] Score: 4"};
  const Row out =
      RunTask(ComplexityScorerType(), {}, {{"instructions", {"easy", "hard"}}}, context);
  EXPECT_EQ(out["scores"], Json({2.0, 4.0}));
  ASSERT_EQ(context.prompts.size(), 1u);
  EXPECT_NE(context.prompts[0].find("[1] easy"), std::string::npos);
  EXPECT_NE(context.prompts[0].find("[2] hard"), std::string::npos);
  EXPECT_NE(context.prompts[0].find("[2] Score:"), std::string::npos);
}

// What the constraint lets through is what the parser reads, and nothing else is asked.
TEST(ListScorer, ListwiseAnswersAreConstrainedToOneScorePerItem) {
  FakeRowContext context;
  context.answers = {"[1] Score: 2\n[2] Score: 6"};
  RunTask(ComplexityScorerType(), Json::object(), {{"instructions", {"easy", "hard"}}}, context);
  ASSERT_EQ(context.constraints.size(), 1u);
  ASSERT_NE(context.constraints[0], nullptr);
  EXPECT_EQ(*context.constraints[0], *ListwiseConstraint(2));
  for (const size_t num_items : {1u, 2u, 11u}) {
    std::string answer;
    for (size_t i = 1; i <= num_items; ++i) {
      answer +=
          (i == 1 ? "[" : "\n[") + std::to_string(i) + "] Score: " + std::to_string(1 + i % 6);
    }
    ScriptedModel model(answer);
    Request request;
    request.prompt = std::vector<Span>{{"x", false}};
    const auto meets = [&](size_t wanted) {
      Generation generation;
      generation.sampling.max_new_tokens = 1000;
      generation.constraint = ListwiseConstraint(wanted);
      request.work = generation;
      return std::get<Completion>(Await(model, request).result).constraint_met;
    };
    EXPECT_TRUE(meets(num_items)) << answer;
    EXPECT_FALSE(meets(num_items + 1)) << answer;
    EXPECT_EQ(ParseListwiseScores(answer, num_items).size(), num_items);
  }
}

TEST(ComplexityScorer, ExpectationIsTheMeanUnderTheSoftmaxOfTheScoreTokens) {
  FakeRowContext context;
  context.first_token_logprobs = [](const std::string& prompt) -> std::vector<double> {
    // Weights 1:3 on "1" and "2"; and all on "6" for the second instruction.
    if (prompt.find("easy") != std::string::npos)
      return {std::log(0.1), std::log(0.3), -1e9, -1e9, -1e9, -1e9};
    return {-1e9, -1e9, -1e9, -1e9, -1e9, -2};
  };
  const Row out = RunTask(ComplexityScorerType(), {{"scoring", "expectation"}},
                          {{"instructions", {"easy", "hard"}}}, context);
  // (1·0.1 + 2·0.3) / 0.4, in doubles
  EXPECT_NEAR(out["scores"][0].get<double>(), 1.75, 1e-12);
  EXPECT_NEAR(out["scores"][1].get<double>(), 6, 1e-12);
  EXPECT_EQ(context.prompts.size(), 2u);
}

// However unlikely all of the score tokens are: only their ratios count.
TEST(ComplexityScorer, ExpectationOfUnlikelyTokens) {
  FakeRowContext context;
  context.first_token_logprobs = [](const std::string&) -> std::vector<double> {
    return {-1000, -1000 + std::log(3), -5000, -5000, -5000, -5000};
  };
  const Row out = RunTask(ComplexityScorerType(), {{"scoring", "expectation"}},
                          {{"instructions", {"x"}}}, context);
  EXPECT_NEAR(out["scores"][0].get<double>(), 1.75, 1e-12);
}

TEST(ParseListwiseScores, TakesWhatIsAtTheEndsOfTheScale) {
  const auto answer = [](double score) { return fmt::format("[1] Score: {}", score); };
  EXPECT_EQ(ParseListwiseScores(answer(kListwiseScoreMax), 1).front(), kListwiseScoreMax);
  EXPECT_EQ(ParseListwiseScores(answer(kListwiseScoreMin), 1).front(), kListwiseScoreMin);
  EXPECT_THROW(ParseListwiseScores(answer(kListwiseScoreMax + 0.5), 1), Error);
  EXPECT_THROW(ParseListwiseScores(answer(kListwiseScoreMin - 0.5), 1), Error);
}

// DEITA's published scorers need their own prompt to the letter.
TEST(ComplexityScorer, RawPromptOfAPublishedScorer) {
  FakeRowContext context;
  context.first_token_logprobs = [](const std::string&) { return std::vector<double>(6, -1.0); };
  const Row out = RunTask(ComplexityScorerType(),
                          {{"scoring", "expectation"},
                           {"chat_template", "none"},
                           {"template", "Query: {{ instruction }}\n##Complexity: "}},
                          {{"instructions", {"x"}}}, context);
  EXPECT_EQ(context.prompts[0], "Query: x\n##Complexity: ");
  EXPECT_NEAR(out["scores"][0].get<double>(), 3.5, 1e-12);
}

TEST(ComplexityScorer, NothingToScore) {
  FakeRowContext context;
  EXPECT_EQ(
      RunTask(ComplexityScorerType(), {}, {{"instructions", Json::array()}}, context)["scores"],
      Json::array());
  EXPECT_TRUE(context.prompts.empty());
  EXPECT_THROW(RunTask(ComplexityScorerType(), {}, {{"instructions", "text"}}, context), Error);
  EXPECT_THROW(RunTask(ComplexityScorerType(), {}, {{"instructions", {1}}}, context), Error);
}

// An answer that is missing keeps its place and gets no score.
TEST(ListScorer, NullsAreSkippedAndKeepTheirPlaces) {
  FakeRowContext context;
  context.answers = {"[1] Score: 2\n[2] Score: 5"};
  const Row row = {{"instruction", "Why?"}, {"responses", {nullptr, "so", nullptr, "because"}}};
  EXPECT_EQ(RunTask(QualityScorerType(), {}, row, context)["scores"],
            Json({nullptr, 2.0, nullptr, 5.0}));
  EXPECT_EQ(*context.constraints.at(0), *ListwiseConstraint(2));
  EXPECT_NE(context.prompts.at(0).find("[2] because"), std::string::npos);
  EXPECT_EQ(context.prompts.at(0).find("None"), std::string::npos);

  context.first_token_logprobs = [](const std::string&) { return std::vector<double>(6, -1.0); };
  EXPECT_EQ(RunTask(QualityScorerType(), {{"scoring", "expectation"}}, row, context)["scores"],
            Json({nullptr, 3.5, nullptr, 3.5}));
  EXPECT_EQ(context.prompts.size(), 3u);
  for (const char* scoring : {"listwise", "expectation"}) {
    EXPECT_EQ(
        RunTask(QualityScorerType(), {{"scoring", scoring}},
                {{"instruction", "Why?"}, {"responses", {nullptr, nullptr}}}, context)["scores"],
        Json({nullptr, nullptr}));
  }
  EXPECT_EQ(context.prompts.size(), 3u);
}

TEST(ComplexityScorer, NoProbabilityAtAllFailsTheRow) {
  FakeRowContext context;
  context.first_token_logprobs = [](const std::string&) {
    return std::vector<double>(6, -INFINITY);
  };
  EXPECT_THROW(RunTask(ComplexityScorerType(), {{"scoring", "expectation"}},
                       {{"instructions", {"x"}}}, context),
               Error);
}

TEST(QualityScorer, BothModesShowInstructionAndResponses) {
  FakeRowContext context;
  context.answers = {"[1] Score: 2\n[2] Score: 4"};
  const Row inputs = {{"instruction", "Why?"}, {"responses", {"so", "because"}}};
  EXPECT_EQ(RunTask(QualityScorerType(), {}, inputs, context)["scores"], Json({2.0, 4.0}));
  context.first_token_logprobs = [](const std::string&) { return std::vector<double>(6, -1.0); };
  RunTask(QualityScorerType(), {{"scoring", "expectation"}}, inputs, context);
  ASSERT_EQ(context.prompts.size(), 3u);
  for (const std::string& prompt : context.prompts)
    EXPECT_NE(prompt.find("Why?"), std::string::npos);
  EXPECT_EQ(context.prompts[1].find("because"), std::string::npos);
  EXPECT_NE(context.prompts[2].find("because"), std::string::npos);
}

TEST(QualityScorer, UnparsableAnswerKeepsTheRawText) {
  FakeRowContext context;
  context.answers = {"They are both nice."};
  EXPECT_THROW(
      RunTask(QualityScorerType(), {}, {{"instruction", "Why?"}, {"responses", {"so"}}}, context),
      Error);
  EXPECT_EQ(context.raw, "They are both nice.");
}

TEST(ListScorer, BadParametersAreFoundBeforeAnythingRuns) {
  const StepType type = ComplexityScorerType();
  const std::vector<std::string> too_many(kContinuationsMax + 1, "1");
  EXPECT_NO_THROW(type.check(
      WithDefaults(type, {{"score_tokens", std::vector<std::string>(kContinuationsMax, "1")}})));
  for (const Json& set :
       {Json{{"score_tokens", {"1"}}}, Json{{"score_tokens", {"1", ""}}},
        Json{{"score_tokens", too_many}}, Json{{"template", "Rate them: {instructions}"}},
        Json{{"template", "{{ instruction }}"}},  // the other mode's variable
        Json{{"scoring", "expectation"}, {"template", "{{ instructions }}"}}}) {
    EXPECT_THROW(type.check(WithDefaults(type, set)), Error) << set.dump();
  }
}

}  // namespace
}  // namespace retort
