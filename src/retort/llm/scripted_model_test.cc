#include "retort/llm/scripted_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>

namespace retort {
namespace {

Request Ask(std::string text, SamplingParams sampling = {}) {
  Request request;
  request.prompt = std::vector<Span>{{std::move(text), false}};
  request.work = Generation{std::move(sampling), nullptr};
  return request;
}

std::string Say(LanguageModel& model, std::string text, SamplingParams sampling = {}) {
  return std::get<Completion>(Await(model, Ask(std::move(text), std::move(sampling))).result).text;
}

ErrorCode Fault(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kInternal;
}

TEST(ScriptedModel, FirstMatchingRuleAnswersAndFillsGroups) {
  ScriptedModel model(ParseScript(ParseJson(R"js({"default": "none", "rules": [
    {"match": "Rewrite: (\\w+)", "reply": "Harder $1 $$ ${seed}${tag} $9$x"},
    {"match": "Rewrite", "reply": "unreachable for words"}]
})js",
                                            "t"),
                                  "t"));
  SamplingParams sampling;
  sampling.seed = 7;
  Request request = Ask("Please Rewrite: cats now", sampling);
  request.tag = "/a";
  EXPECT_EQ(std::get<Completion>(Await(model, request).result).text, "Harder cats $ 7/a $x");
  EXPECT_EQ(Say(model, "Rewrite:"), "unreachable for words");
  EXPECT_EQ(Say(model, "else"), "none");
  EXPECT_EQ(model.num_calls(), 3u);
}

TEST(ScriptedModel, ChatPromptsReadAsRolesAndContents) {
  ChatPrompt chat;
  chat.messages = ParseJson(
      R"([{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"U"}]}])",
      "t");
  EXPECT_EQ(ScriptedPromptText(chat), "<|system|>\nS\n<|user|>\nU\n<|assistant|>\n");
  EXPECT_EQ(ScriptedPromptText(std::vector<int32_t>{3, 1}), "3 1");
  chat.messages = ParseJson(R"([{"content":"no role"}])", "t");
  ScriptedModel model("x");
  Request request;
  request.prompt = chat;
  EXPECT_EQ(Fault([&] { Await(model, request); }), ErrorCode::kInvalid);
  EXPECT_EQ(Fault([&] { model.RequestKey(request); }), ErrorCode::kInvalid);
}

TEST(ScriptedModel, HonoursLengthStopsAndLogprobs) {
  ScriptedModel model("abcdéfghij STOP tail");
  SamplingParams sampling;
  sampling.max_new_tokens = 2;
  sampling.num_top_logprobs = 1;
  const Response cut = Await(model, Ask("q", sampling));
  const Completion& completion = std::get<Completion>(cut.result);
  EXPECT_EQ(completion.text, "abcdéfg");  // "abcd", then "éfg": four bytes
  EXPECT_EQ(completion.finish_reason, FinishReason::kLength);
  EXPECT_EQ(completion.logprobs.size(), 2u);
  EXPECT_EQ(completion.logprobs[0].top.size(), 1u);
  EXPECT_EQ(cut.usage.completion_tokens, 2);
  sampling.max_new_tokens = 100;
  sampling.stop = {"tail", "STOP"};
  EXPECT_EQ(Say(model, "q", sampling), "abcdéfghij ");
}

TEST(ScriptedModel, FailsAsOftenAsItsRuleSaysPerPrompt) {
  ScriptedModel model(ParseScript(ParseJson(R"({"rules": [
    {"match": "flaky", "reply": "fine", "error": "unavailable", "message": "away", "times": 2},
    {"match": "dead", "error": "internal"}]})",
                                            "t"),
                                  "t"));
  for (const char* prompt : {"flaky a", "flaky b"}) {
    EXPECT_EQ(Fault([&] { Say(model, prompt); }), ErrorCode::kUnavailable);
    EXPECT_EQ(Fault([&] { Say(model, prompt); }), ErrorCode::kUnavailable);
    EXPECT_EQ(Say(model, prompt), "fine");
  }
  EXPECT_EQ(Fault([&] { Say(model, "dead"); }), ErrorCode::kInternal);
  EXPECT_EQ(model.stats().num_failed, 5u);
}

TEST(ScriptedModel, RepliesOfAListAreDrawnByTheSeed) {
  ScriptedModel model(Script{"s", {{"", {"a", "b", "c"}, {}, {}, -1}}, ""});
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SamplingParams sampling;
    sampling.seed = seed;
    const std::string text = Say(model, "q", sampling);
    EXPECT_EQ(Say(model, "q", sampling), text);
    seen.insert(text);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"a", "b", "c"}));
}

TEST(ScriptedModel, ScoresByRuleElseByHash) {
  ScriptedModel model(ParseScript(
      ParseJson(R"({"rules": [{"match": "rate", "scores": {"1": -0.25}}]})", "t"), "t"));
  Request request = Ask("rate");
  request.work = Scoring{{"1", "22222"}};
  const Scores scores = std::get<Scores>(Await(model, request).result);
  ASSERT_EQ(scores.continuations.size(), 2u);
  EXPECT_EQ(scores.continuations[0].logprob, -0.25);
  EXPECT_LT(scores.continuations[1].logprob, 0);
  EXPECT_EQ(scores.continuations[1].num_tokens, 2);
}

TEST(ScriptedModel, EmbeddingsOfSharedWordsAreNear) {
  ScriptedModel model("x");
  const auto embed = [&](std::string text) {
    Request request = Ask(std::move(text));
    request.work = Embedding{PoolingKind::kMean, true};
    return std::get<EmbeddingVector>(Await(model, request).result).values;
  };
  const auto dot = [](const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
    return sum;
  };
  const auto base = embed("one two three four five six");
  EXPECT_NEAR(dot(base, base), 1.0, 1e-5);
  EXPECT_NEAR(dot(base, embed("six five four three two one")), 1.0, 1e-5);
  EXPECT_GT(dot(base, embed("one two three four five seven")),
            dot(base, embed("red green blue black white pink")));
}

TEST(ScriptedModel, KeysTellApartWhatAnswersCanTellApart) {
  ScriptedModel model("x");
  std::set<std::string> keys;
  std::vector<Request> requests;
  requests.push_back(Ask("a"));
  requests.push_back(Ask("b"));
  for (int i = 0; i < 8; ++i) {
    SamplingParams sampling;
    if (i == 0) sampling.temperature = 0.5f;
    if (i == 1) sampling.top_k = 5;
    if (i == 2) sampling.top_p = 0.5f;
    if (i == 3) sampling.min_p = 0.5f;
    if (i == 4) sampling.seed = 1;
    if (i == 5) sampling.max_new_tokens = 1;
    if (i == 6) sampling.stop = {"s"};
    if (i == 7) sampling.num_top_logprobs = 0;
    requests.push_back(Ask("a", sampling));
  }
  for (int i = 0; i < 4; ++i) {
    requests.push_back(Ask("a"));
    if (i == 0) requests.back().work = Scoring{{"a", "b"}};
    if (i == 1) requests.back().work = Scoring{{"ab"}};
    if (i == 2) requests.back().work = Embedding{PoolingKind::kMean, false};
    if (i == 3) requests.back().work = Embedding{PoolingKind::kMean, true};
  }
  for (int i = 0; i < 4; ++i) {
    Generation generation;
    generation.sampling.ignore_eos = i == 0;
    if (i > 0) generation.constraint = RegexConstraint(i == 1 ? "[ab]" : "[ba]");
    generation.close = i == 3;
    requests.push_back(Ask("a"));
    requests.back().work = generation;
  }
  for (const Request& request : requests) keys.insert(model.RequestKey(request));
  EXPECT_EQ(keys.size(), requests.size());

  Request named = Ask("a");
  named.id = "id";
  named.tag = "tag";
  named.priority = 3;
  named.deadline = std::chrono::steady_clock::now();
  EXPECT_EQ(model.RequestKey(named), model.RequestKey(Ask("a")));
}

TEST(ScriptedModel, ThreadsAnswerAllOutOfOrderOnce) {
  ScriptedOptions options;
  options.num_threads = 3;
  options.shuffle_seed = 11;
  options.delay_us = 50;
  options.record = true;
  std::vector<int> order;
  std::mutex mutex;
  std::vector<int> answered(200, 0);
  {
    ScriptedModel model(Script{"s", {{"n(\\d+)", {"$1"}, {}, {}, -1}}, ""}, options);
    for (int i = 0; i < 200; ++i) {
      ResponseHandler handler;
      handler.on_done = [&, i](Response response) {
        EXPECT_EQ(std::get<Completion>(response.result).text, std::to_string(i));
        std::lock_guard lock(mutex);
        ++answered[static_cast<size_t>(i)];
        order.push_back(i);
      };
      model.Submit(Ask("n" + std::to_string(i)), handler);
    }
    EXPECT_EQ(model.calls().size(), 200u);
    EXPECT_EQ(model.calls()[5].prompt_text, "n5");
    EXPECT_GT(model.num_in_flight_max(), 1u);
  }
  EXPECT_EQ(answered, std::vector<int>(200, 1));
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
}

TEST(ScriptedModel, StreamsTheTextItReturns) {
  ScriptedOptions options;
  options.text_bytes_per_call = 3;
  ScriptedModel model(Script{"s", {}, "abcdefgh"}, options);
  std::vector<std::string> deltas;
  ResponseHandler handler;
  handler.on_text = [&](std::string_view delta) { deltas.emplace_back(delta); };
  handler.on_done = [&](Response) { deltas.emplace_back("."); };
  model.Submit(Ask("q"), handler);
  EXPECT_THAT(deltas, testing::ElementsAre("abc", "def", "gh", "."));
}

TEST(ScriptedModel, CancelledLateAndTooLongFail) {
  ScriptedOptions options;
  options.context_tokens_max = 3;
  ScriptedModel model(Script{}, options);
  std::stop_source source;
  source.request_stop();
  Request request = Ask("q");
  request.stop = source.get_token();
  EXPECT_EQ(Fault([&] { Await(model, request); }), ErrorCode::kCancelled);
  request = Ask("q");
  request.deadline = std::chrono::steady_clock::now();
  EXPECT_EQ(Fault([&] { Await(model, request); }), ErrorCode::kDeadline);
  EXPECT_EQ(Fault([&] { Await(model, Ask("0123456789abc")); }), ErrorCode::kExhausted);
}

TEST(ScriptedModel, FunctionAnswersAndItsErrorsFailTheRequest) {
  ScriptedModel model("f", [](const Request& request, const std::string& text) {
    if (text == "bad") Throw(ErrorCode::kIo, "disk");
    return MakeCompletion(text + "!", std::get<Generation>(request.work).sampling, text);
  });
  EXPECT_EQ(Say(model, "hi"), "hi!");
  EXPECT_EQ(Fault([&] { Say(model, "bad"); }), ErrorCode::kIo);
}

TEST(ParseScript, RefusesGarbageNamingThePlace) {
  for (const char* text :
       {R"([])", R"({"rule": []})", R"({"rules": {}})", R"({"rules": [1]})",
        R"({"rules": [{"match": "a"}]})", R"({"rules": [{"match": 1, "reply": "a"}]})",
        R"({"rules": [{"reply": [1]}]})", R"({"rules": [{"reply": "a", "times": 1}]})",
        R"({"rules": [{"error": "nope"}]})", R"({"rules": [{"scores": {"1": "x"}}]})",
        R"({"rules": [{"error": "io", "times": -1}]})", R"({"name": 3})"}) {
    EXPECT_EQ(Fault([&] { ParseScript(ParseJson(text, "t"), "file.json"); }), ErrorCode::kInvalid)
        << text;
  }
  EXPECT_EQ(Fault([] {
              ScriptedModel model(Script{"s", {{"(", {"a"}, {}, {}, -1}}, ""});
            }),
            ErrorCode::kInvalid);
}

TEST(ScriptedModel, PatternThatGivesUpFailsTheRequest) {
  ScriptedModel model(Script{"s", {{"(x+x+)+[yz]", {"a"}, {}, {}, -1}}, ""});
  EXPECT_EQ(Fault([&] { Say(model, std::string(100, 'x')); }), ErrorCode::kInvalid);
}

}  // namespace
}  // namespace retort
