#include <gmock/gmock.h>

#include <regex>
#include <set>

#include "retort/base/json.h"
#include "retort/devices/devices.h"
#include "retort/engine/engine_test_models.h"

// Completions under a constraint, on a model of 260,000 parameters that has never seen JSON.
namespace retort {
namespace {

using testing::HasSubstr;

constexpr const char* kPerson = R"({
  "type": "object",
  "properties": {
    "name": {"type": "string", "minLength": 1, "maxLength": 12},
    "a_long_property_name_that_is_forced": {"type": "integer", "minimum": 0, "maximum": 150},
    "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 3}
  },
  "required": ["name", "a_long_property_name_that_is_forced", "tags"],
  "additionalProperties": false
})";

Request AskFor(std::shared_ptr<const ConstraintText> constraint, SamplingParams sampling) {
  Request request = Ask("Once upon a time", std::move(sampling));
  std::get<Generation>(request.work).constraint = std::move(constraint);
  return request;
}

SamplingParams Hot(uint64_t seed, int max_new_tokens = 200) {
  SamplingParams sampling;
  sampling.temperature = 1.0f;
  sampling.seed = seed;
  sampling.max_new_tokens = max_new_tokens;
  return sampling;
}

void ExpectPerson(const std::string& text) {
  Json person;
  ASSERT_NO_THROW(person = ParseJson(text, "answer")) << text;
  ASSERT_EQ(person.size(), 3u) << text;
  EXPECT_LE(person["name"].get<std::string>().size(), 48u);
  EXPECT_GE(person["a_long_property_name_that_is_forced"].get<double>(), 0);
  EXPECT_LE(person["a_long_property_name_that_is_forced"].get<double>(), 150);
  EXPECT_LE(person["tags"].size(), 3u);
  for (const Json& tag : person["tags"]) {
    EXPECT_TRUE(tag == "red" || tag == "green" || tag == "blue") << text;
  }
}

TEST(EngineConstraint, EveryAnswerIsWhatTheConstraintAsksFor) {
  SKIP_WITHOUT(Stories());
  for (const std::string& device : DeviceNames()) {
    EngineOptions options = StoriesOptions();
    options.device = device;
    const auto engine = Engine::Open(options);
    std::vector<Request> requests;
    for (uint64_t seed = 0; seed < 8; ++seed) {
      requests.push_back(AskFor(JsonSchemaConstraint(kPerson), Hot(seed, 400)));
      requests.push_back(AskFor(RegexConstraint("[a-f]{3}-[0-9]{2,4}"), Hot(seed)));
      requests.push_back(AskFor(ChoiceConstraint({"yes", "no", "not sure"}), Hot(seed)));
    }
    const std::vector<Response> answers = Answers(*engine, requests);
    std::set<std::string> codes;
    for (size_t i = 0; i < answers.size(); i += 3) {
      const Completion& person = CompletionOf(answers[i]);
      EXPECT_EQ(person.finish_reason, FinishReason::kStop);
      EXPECT_TRUE(person.constraint_met);
      ExpectPerson(person.text);
      const Completion& code = CompletionOf(answers[i + 1]);
      EXPECT_TRUE(std::regex_match(code.text, std::regex("[a-f]{3}-[0-9]{2,4}"))) << code.text;
      EXPECT_TRUE(code.constraint_met);
      codes.insert(code.text);
      EXPECT_THAT(CompletionOf(answers[i + 2]).text, testing::AnyOf("yes", "no", "not sure"));
    }
    EXPECT_GT(codes.size(), 4u) << "seeds make no difference";
  }
}

// Constrained requests of many kinds among free ones.
std::vector<Request> MixedRequests() {
  std::vector<Request> requests;
  for (uint64_t seed = 0; seed < 15; ++seed) {
    SamplingParams sampling = Hot(seed, 20 + 16 * static_cast<int>(seed % 5));
    sampling.temperature = seed % 4 == 3 ? 0.0f : 1.0f;
    sampling.top_p = seed % 3 == 0 ? 0.9f : 1.0f;
    sampling.num_top_logprobs = static_cast<int>(seed % 4) - 1;
    std::shared_ptr<const ConstraintText> constraint;
    if (seed % 5 == 0) constraint = JsonSchemaConstraint(kPerson);
    if (seed % 5 == 1) constraint = RegexConstraint("( [a-z]+){5,30}\\.");
    if (seed % 5 == 2) constraint = ChoiceConstraint({"Lily played in the park", "Lily slept"});
    if (seed % 5 == 3) constraint = JsonSchemaConstraint(R"({"type": "array", "minItems": 4})");
    requests.push_back(AskFor(constraint, sampling));
    requests.back().priority = static_cast<int>(seed % 2);
  }
  return requests;
}

std::vector<std::string> BitsOf(const std::vector<Response>& responses) {
  std::vector<std::string> bits;
  for (const Response& response : responses) bits.push_back(Bits(response));
  return bits;
}

TEST(EngineConstraint, AnswersDoNotDependOnBatchingOrPreemption) {
  SKIP_WITHOUT(Stories());
  for (const std::string& device : DeviceNames()) {
    EngineOptions options = StoriesOptions();
    options.device = device;
    const std::vector<Request> requests = MixedRequests();
    const std::vector<std::string> expected = BitsOf(Answers(*Engine::Open(options), requests));
    for (const std::string& bits : expected) ASSERT_NE(bits.substr(0, 5), "error") << bits;
    const std::pair<int, int> shapes[] = {{1, 256}, {3, 2}, {64, 16}};  // sequences, chunk
    for (const auto& [max_num_seqs, chunk] : shapes) {
      options.max_num_seqs = max_num_seqs;
      options.prefill_chunk_tokens = chunk;
      const auto engine = Engine::Open(options);
      EXPECT_EQ(BitsOf(Answers(*engine, requests)), expected) << max_num_seqs << " " << chunk;
      EXPECT_EQ(BitsOf(Answers(*engine, requests)), expected) << "once more";
    }
    options.max_num_seqs = 16;
    uint64_t num_preemptions = 0;
    for (const size_t num_pages : {6, 4}) {
      options.kv_bytes = num_pages * 5 * 4 * 8 * 2 * 4 * kPageTokens;
      const auto engine = Engine::Open(options);
      if (engine->description().context_tokens_max < 100) continue;  // answers would be cut
      EXPECT_EQ(BitsOf(Answers(*engine, requests)), expected) << num_pages << " pages";
      num_preemptions += engine->stats().num_preemptions;
    }
    EXPECT_GT(num_preemptions, 0u) << device;
  }
}

TEST(EngineConstraint, ForcedTextIsNotDrawn) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  SamplingParams sampling = Hot(1);
  sampling.num_top_logprobs = 1;
  const std::string fixed = "the quick brown fox jumps over the lazy dog and runs away, ";
  const Response response = Await(*engine, AskFor(RegexConstraint(fixed + "[ab]{3}"), sampling));
  const Completion& completion = CompletionOf(response);
  EXPECT_THAT(completion.text, testing::StartsWith(fixed));
  EXPECT_EQ(completion.text.size(), fixed.size() + 3);
  EXPECT_EQ(response.usage.completion_tokens, static_cast<int>(completion.token_ids.size()));
  ASSERT_EQ(completion.logprobs.size(), completion.token_ids.size());
  size_t num_certain = 0;
  for (size_t i = 0; i < completion.logprobs.size(); ++i) {
    EXPECT_EQ(completion.logprobs[i].token_id, completion.token_ids[i]);
    EXPECT_EQ(completion.logprobs[i].top.size(), 1u);
    num_certain += completion.logprobs[i].logprob == 0 ? 1 : 0;
  }
  EXPECT_GT(num_certain, 15u);
  // Every forced token has its place in few steps.
  EXPECT_LT(engine->stats().num_steps, completion.token_ids.size() / 2);
  EXPECT_EQ(engine->stats().completion_tokens, completion.token_ids.size());
}

TEST(EngineConstraint, StreamsTheTextThatItAnswers) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  for (uint64_t seed = 0; seed < 4; ++seed) {
    std::string streamed;
    std::promise<Response> done;
    ResponseHandler handler;
    handler.on_text = [&](std::string_view delta) { streamed += delta; };
    handler.on_done = [&](Response response) { done.set_value(std::move(response)); };
    engine->Submit(AskFor(JsonSchemaConstraint(kPerson), Hot(seed, 30 + 100 * (seed % 2))),
                   handler);
    const Response response = done.get_future().get();
    EXPECT_EQ(streamed, CompletionOf(response).text);
  }
}

TEST(EngineConstraint, CutAnswersSaySo) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  for (const int max_new_tokens : {1, 2, 7, 20}) {
    const Response response =
        Await(*engine, AskFor(JsonSchemaConstraint(kPerson), Hot(3, max_new_tokens)));
    EXPECT_EQ(CompletionOf(response).finish_reason, FinishReason::kLength);
    EXPECT_FALSE(CompletionOf(response).constraint_met);
    EXPECT_EQ(response.usage.completion_tokens, max_new_tokens);
    EXPECT_EQ(CompletionOf(response).token_ids.size(), static_cast<size_t>(max_new_tokens));
  }
  // What is cut may still be in the language.
  const Response letters = Await(*engine, AskFor(RegexConstraint("[a-z ]{5,}"), Hot(3, 30)));
  if (CompletionOf(letters).finish_reason == FinishReason::kLength) {
    EXPECT_EQ(CompletionOf(letters).constraint_met, CompletionOf(letters).text.size() >= 5);
  }
  SamplingParams stopped = Hot(3);
  stopped.stop = {"name"};
  const Response stop = Await(*engine, AskFor(JsonSchemaConstraint(kPerson), stopped));
  EXPECT_EQ(CompletionOf(stop).finish_reason, FinishReason::kStop);
  EXPECT_THAT(CompletionOf(stop).text, testing::EndsWith("\""));
  EXPECT_FALSE(CompletionOf(stop).constraint_met);
}

// Whatever the model says, the answer is ended in time, and valid.
TEST(EngineConstraint, ClosesInTime) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  const std::shared_ptr<const ConstraintText> constraints[] = {
      JsonSchemaConstraint(kPerson),
      JsonSchemaConstraint(
          R"({"type": "array", "minItems": 2, "items": {"anyOf": [{"$ref": "#"}, {"const": 7}]}})"),
      JsonSchemaConstraint(R"({"type": "string", "minLength": 20})"),
      JsonSchemaConstraint(R"({"type": "array"})"),
      JsonSchemaConstraint(R"({"anyOf": [{"type": "array", "minItems": 1, "items": {"$ref": "#"}},
                               {"type": "object", "required": ["a"]}]})"),
      RegexConstraint("([a-z]+ ){3,}end"),
      GbnfConstraint("root ::= \"(\" root \")\" root | [a-c]{2}"),
  };
  for (const auto& constraint : constraints) {
    std::vector<Request> requests;
    for (uint64_t seed = 0; seed < 6; ++seed) {
      for (const int max_new_tokens : {12, 40, 75, 110}) {
        requests.push_back(AskFor(constraint, Hot(seed, max_new_tokens)));
        std::get<Generation>(requests.back().work).close = true;
      }
    }
    int num_closed = 0;
    const std::vector<Response> answers = Answers(*engine, requests);
    for (size_t i = 0; i < answers.size(); ++i) {
      const int max_new_tokens = std::get<Generation>(requests[i].work).sampling.max_new_tokens;
      if (const Error* error = std::get_if<Error>(&answers[i].result)) {
        EXPECT_EQ(error->code(), ErrorCode::kExhausted) << error->message();
        EXPECT_THAT(error->message(),
                    HasSubstr("the shortest text that the constraint allows has"));
        EXPECT_LT(max_new_tokens, 100) << error->message();
        continue;
      }
      const Completion& completion = CompletionOf(answers[i]);
      ++num_closed;
      EXPECT_TRUE(completion.constraint_met) << completion.text;
      EXPECT_LE(answers[i].usage.completion_tokens, max_new_tokens);
      if (constraint == constraints[0]) ExpectPerson(completion.text);
    }
    EXPECT_GE(num_closed, 6) << constraint->text;
    EXPECT_EQ(BitsOf(Answers(*engine, requests)), BitsOf(answers));
  }
}

TEST(EngineConstraint, ClosesWhatIsLongBeforeItMayEnd) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  const std::shared_ptr<const ConstraintText> constraints[] = {
      JsonSchemaConstraint(
          R"({"type": "object", "properties": {"essay": {"type": "string", "minLength": 300}},
              "required": ["essay"], "additionalProperties": false})"),
      JsonSchemaConstraint(R"({"type": "array", "minItems": 60, "items": {"type": "integer"}})"),
      RegexConstraint("([a-z]{3} ){70}"),
  };
  for (const auto& constraint : constraints) {
    std::vector<Request> requests;
    for (uint64_t seed = 0; seed < 3; ++seed) {
      requests.push_back(AskFor(constraint, Hot(seed, 400)));
      std::get<Generation>(requests.back().work).close = true;
    }
    for (const Response& response : Answers(*engine, requests)) {
      EXPECT_TRUE(CompletionOf(response).constraint_met) << CompletionOf(response).text;
    }
  }
}

// With `close` a stop text is text like any other until the answer is whole.
TEST(EngineConstraint, AStopTextEndsAClosedAnswerOnlyWhereItIsWhole) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  for (uint64_t seed = 0; seed < 4; ++seed) {
    SamplingParams sampling = Hot(seed, 200);
    sampling.stop = {"\"", ",", "{", " "};
    Request person = AskFor(JsonSchemaConstraint(kPerson), sampling);
    std::get<Generation>(person.work).close = true;
    const Response whole = Await(*engine, person);
    EXPECT_TRUE(CompletionOf(whole).constraint_met);
    ExpectPerson(CompletionOf(whole).text);
    // Where it may end, the first stop text ends it.
    sampling.stop = {"e", "xx"};
    Request letters = AskFor(RegexConstraint("[a-z ]{5,}"), sampling);
    std::get<Generation>(letters.work).close = true;
    const Completion ended = CompletionOf(Await(*engine, letters));
    EXPECT_TRUE(ended.constraint_met);
    EXPECT_GE(ended.text.size(), 5u);
    EXPECT_EQ(ended.text.find('e', 5), std::string::npos) << ended.text;
    // Without it the first one cuts, and what is left is judged.
    std::get<Generation>(letters.work).close = false;
    const Completion cut = CompletionOf(Await(*engine, letters));
    EXPECT_EQ(cut.text.find('e'), std::string::npos) << cut.text;
    EXPECT_EQ(cut.constraint_met, cut.text.size() >= 5) << cut.text;
  }
}

TEST(EngineConstraint, EndsWhereTheLanguageEnds) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  // The empty text, and one that is forced from beginning to end.
  const Response empty = Await(*engine, AskFor(RegexConstraint(""), Hot(1)));
  EXPECT_EQ(CompletionOf(empty).text, "");
  EXPECT_TRUE(CompletionOf(empty).constraint_met);
  EXPECT_EQ(CompletionOf(empty).finish_reason, FinishReason::kStop);
  EXPECT_EQ(empty.usage.completion_tokens, 0);
  EXPECT_EQ(CompletionOf(Await(*engine, AskFor(ChoiceConstraint({"only this"}), Hot(1)))).text,
            "only this");
  const Response cut = Await(*engine, AskFor(ChoiceConstraint({"only this one thing"}), Hot(1, 2)));
  EXPECT_EQ(CompletionOf(cut).finish_reason, FinishReason::kLength);
  EXPECT_EQ(cut.usage.completion_tokens, 2);
  // ignore_eos goes on while the language does, and no longer.
  SamplingParams endless = Hot(1, 50);
  endless.ignore_eos = true;
  const Response letters = Await(*engine, AskFor(RegexConstraint("[a-z]*"), endless));
  EXPECT_EQ(letters.usage.completion_tokens, 50);
  EXPECT_EQ(CompletionOf(letters).finish_reason, FinishReason::kLength);
  EXPECT_TRUE(CompletionOf(letters).constraint_met);
  const Response three = Await(*engine, AskFor(RegexConstraint("[a-z]{0,3}"), endless));
  EXPECT_EQ(CompletionOf(three).text.size(), 3u);
  EXPECT_EQ(CompletionOf(three).finish_reason, FinishReason::kStop);
}

TEST(EngineConstraint, RefusalsReachTheirRequestAlone) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  auto fine = SubmitTo(*engine, AskFor(ChoiceConstraint({"yes"}), Hot(1)));
  const auto refusal = [&](std::shared_ptr<const ConstraintText> constraint) {
    const Response response = SubmitTo(*engine, AskFor(std::move(constraint), Hot(1))).get();
    const Error* error = std::get_if<Error>(&response.result);
    EXPECT_NE(error, nullptr);
    return error == nullptr ? "" : error->message();
  };
  EXPECT_THAT(refusal(JsonSchemaConstraint(R"({"properties": {"a": {"type": "strng"}}})")),
              HasSubstr("schema:1:23: /properties/a: 'type'"));
  EXPECT_THAT(refusal(JsonSchemaConstraint("{\"type\": ")), HasSubstr("schema:1:10: not JSON"));
  EXPECT_THAT(refusal(RegexConstraint("(?<=a)b")), HasSubstr("regular expression: at character"));
  EXPECT_THAT(refusal(ChoiceConstraint({})), HasSubstr("choices"));
  EXPECT_EQ(CompletionOf(fine.get()).text, "yes");
}

TEST(EngineConstraint, KeysTellConstraintsApart) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  std::set<std::string> keys;
  ConstraintText annotated = *JsonSchemaConstraint("{}");
  annotated.formats_are_annotations = true;
  for (const auto& constraint :
       {std::shared_ptr<const ConstraintText>(), JsonSchemaConstraint("{}"),
        JsonSchemaConstraint("{ }"), RegexConstraint("{}"), ChoiceConstraint({"a", "b"}),
        ChoiceConstraint({"ab"}), std::make_shared<const ConstraintText>(annotated)}) {
    keys.insert(engine->RequestKey(AskFor(constraint, Hot(1))));
    EXPECT_EQ(engine->RequestKey(AskFor(constraint, Hot(1))),
              engine->RequestKey(AskFor(constraint, Hot(1))));
  }
  EXPECT_EQ(keys.size(), 7u);
}

}  // namespace
}  // namespace retort
