#include <gmock/gmock.h>

#include <optional>

#include "retort/engine/engine_test_models.h"

// Constraints that other engines hang on: here each is answered or refused, and whoever shares the
// model with them gets the same answers, a token in every step.
namespace retort {
namespace {

struct Hostile {
  const char* name;
  std::shared_ptr<const ConstraintText> constraint;
};

std::string NestedOneOf() {
  std::string schema = R"({"type": "integer"})";
  for (int i = 0; i < 60; ++i) {
    schema = R"({"oneOf": [)" + schema + R"(, {"type": "object", "properties": {"x": {"const": )" +
             std::to_string(i) + "}}}]}";
  }
  return schema;
}

std::string ManyProperties() {  // 300 kB
  std::string schema = R"({"type": "object", "properties": {)";
  for (int i = 0; i < 4500; ++i) {
    schema += (i > 0 ? ", \"key_" : "\"key_") + std::to_string(i) +
              R"(": {"type": "string", "pattern": "^[a-z]{3}[0-9]+$"})";
  }
  return schema + R"(}, "minProperties": 3})";
}

// Words that must all hold, none of which says where it stands.
std::string ManyPatterns() {
  std::string schema = R"({"type": "string", "allOf": [)";
  for (int i = 0; i < 40; ++i) {
    schema += (i > 0 ? ", " : "") + std::string(R"({"pattern": ".*a[a-z]{)") +
              std::to_string(i + 1) + R"(}b.*c"})";
  }
  return schema + "]}";
}

// Every "x" may belong to any of the rules before it.
std::string NestedChoices() {
  std::string grammar = "root ::= a0\n";
  for (int i = 0; i < 60; ++i) {
    const std::string next = "a" + std::to_string(i + 1);
    grammar += "a" + std::to_string(i) + " ::= " + next + " | " + next + " " + next + " | (" +
               next + " | \"x\" (" + next + " | \"y\" " + next + ")?)*\n";
  }
  return grammar + "a60 ::= \"x\" | \"\"\n";
}

std::vector<Hostile> HostileConstraints() {
  return {
      {"long string", JsonSchemaConstraint(R"({"type": "string", "maxLength": 100000000})")},
      {"deep oneOf", JsonSchemaConstraint(NestedOneOf())},
      {"300 kB", JsonSchemaConstraint(ManyProperties())},
      {"recursion",
       JsonSchemaConstraint(R"({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}, {"type": "array",
           "items": {"$ref": "#/$defs/a"}}]}, "b": {"oneOf": [{"type": "object",
           "additionalProperties": {"$ref": "#/$defs/a"}}, {"type": "null"}]}},
           "$ref": "#/$defs/a"})")},
      {"circle", JsonSchemaConstraint(R"({"$ref": "#"})")},
      {"billions of items",
       JsonSchemaConstraint(R"({"type": "array", "minItems": 4000000000, "items":
           {"type": "array", "minItems": 4000000000}})")},
      {"counts of counts", RegexConstraint("(((a{0,900}){0,900}){0,900}b){0,900}")},
      {"distant ends", RegexConstraint("(a|b)*a(a|b){4000}")},
      {"ambiguous GBNF", GbnfConstraint("root ::= s\ns ::= s s | s s s | [a-z ]+ | \"\"\n")},
      {"ambiguous Lark", LarkConstraint("start: e\ne: e e | e OP e | \"(\" e \")\" | WORD |\n"
                                        "OP: /[-+ ]*/\nWORD: /[a-z ]+/\n")},
      {"nested choices", GbnfConstraint(NestedChoices())},
      {"long string with a pattern",
       JsonSchemaConstraint(R"({"type": "string", "minLength": 60000, "maxLength": 1000000,
           "pattern": "^(([a-z]+ ?)*x.{50})+y"})")},
      {"many patterns", JsonSchemaConstraint(ManyPatterns())},
      {"keys in any order", std::make_shared<const ConstraintText>(ConstraintText{
                                ConstraintText::Kind::kJsonSchema, ManyProperties(), {}, true})},
  };
}

constexpr int kNeighbourTokens = 400;

Request Neighbour(uint64_t seed) {
  SamplingParams sampling;
  sampling.seed = seed;
  sampling.max_new_tokens = kNeighbourTokens;
  sampling.ignore_eos = true;
  return Ask("Once upon a time", sampling);
}

TEST(EngineHostile, ConstraintsAreBoundedAndNeighboursDoNotNotice) {
  SKIP_WITHOUT(Stories());
  EngineOptions options = StoriesOptions();
  options.device = "cpu";
  options.max_num_seqs = 16;
  std::vector<Request> neighbours;
  for (uint64_t seed = 0; seed < 8; ++seed) neighbours.push_back(Neighbour(seed));
  const std::vector<Response> expected = Answers(*Engine::Open(options), neighbours);

  // Written by the engine's thread until the answer is there.
  struct Steps {
    std::optional<uint64_t> at_first_text;
    uint64_t at_end = 0;
  };
  std::vector<Steps> steps(neighbours.size());
  const auto engine = Engine::Open(options);
  std::vector<std::future<Response>> answers;
  for (size_t i = 0; i < neighbours.size(); ++i) {
    auto promise = std::make_shared<std::promise<Response>>();
    answers.push_back(promise->get_future());
    ResponseHandler handler;
    handler.on_text = [&, i](std::string_view) {
      if (!steps[i].at_first_text) steps[i].at_first_text = engine->stats().num_steps;
    };
    handler.on_done = [&, i, promise](Response response) {
      steps[i].at_end = engine->stats().num_steps;
      promise->set_value(std::move(response));
    };
    engine->Submit(neighbours[i], std::move(handler));
  }
  const std::vector<Hostile> all = HostileConstraints();
  std::vector<std::future<Response>> hostile;
  for (const Hostile& one : all) {
    SamplingParams sampling;
    sampling.max_new_tokens = 40;
    Request request = Ask("Once", sampling);
    std::get<Generation>(request.work).constraint = one.constraint;
    hostile.push_back(SubmitTo(*engine, std::move(request)));  // compiles before it returns
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(Bits(answers[i].get()), Bits(expected[i])) << "neighbour " << i;
    ASSERT_TRUE(steps[i].at_first_text.has_value());
    // Text is told inside its step, the answer when the step has been counted.
    EXPECT_LE(steps[i].at_end - *steps[i].at_first_text, kNeighbourTokens) << "neighbour " << i;
  }
  for (size_t i = 0; i < hostile.size(); ++i) {
    const Response response = hostile[i].get();
    if (const Error* error = std::get_if<Error>(&response.result)) {
      EXPECT_THAT(error->code(), testing::AnyOf(ErrorCode::kExhausted, ErrorCode::kInvalid,
                                                ErrorCode::kUnsupported))
          << all[i].name << ": " << error->message();
      EXPECT_GT(error->message().size(), 20u) << all[i].name;
    } else {
      EXPECT_LE(CompletionOf(response).token_ids.size(), 40u) << all[i].name;
    }
  }
}

}  // namespace
}  // namespace retort
