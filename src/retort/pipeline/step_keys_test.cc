// What changes the name of a step's work, and what must not: every field of its configuration and
// of its model's description. Structured bindings count the fields, so that a new one does not
// compile until it has a line.
#include <gtest/gtest.h>

#include <functional>

#include "retort/pipeline/run_harness_test.h"
#include "retort/pipeline/step_runtime.h"

namespace retort {
namespace {

// A model that is described and cannot be loaded: a key needs no more.
class Described : public ModelSource {
 public:
  explicit Described(ModelDescription description)
      : identity_(std::make_shared<Identity>(std::move(description))) {}
  std::shared_ptr<LanguageModel> Acquire(const std::string& name) override {
    Throw(ErrorCode::kInternal, "'{}' was loaded for a key", name);
  }
  std::shared_ptr<const ModelIdentity> Identify(const std::string&) override { return identity_; }

 private:
  struct Identity : ModelIdentity {
    explicit Identity(ModelDescription description) : value(std::move(description)) {}
    ModelDescription description() const override { return value; }
    std::string RequestKey(const Request&) const override { return "request"; }
    ModelDescription value;
  };
  std::shared_ptr<Identity> identity_;
};

struct Keys {
  std::string step;     // what draws and the rows behind it depend on
  std::string outputs;  // what the ledger keeps a row's outputs under
};

ModelDescription SomeDescription() {
  ModelDescription description;
  description.answers_key = "k";
  return description;
}

Keys KeysOf(const GraphStep& step, const ModelDescription& description = SomeDescription()) {
  Described source(description);
  ModelSlot slot(step.config.llm.value_or(""), source);
  StepRuntime runtime;
  runtime.graph = &step;
  runtime.sampling = ToSamplingParams(step.generation);
  if (step.model_use != ModelUse::kNone) runtime.model = &slot;
  Sha256 row;
  const LineageKey row_key = FinishKey(row.Field("row"));
  return {runtime.key().Hex(), runtime.OutputsKey(row_key).Hex()};
}

constexpr std::string_view kYaml = R"(
models:
  m: {path: tiny, generation: {temperature: 1}}
  n: {path: tiny, generation: {temperature: 1}}
steps:
  - {name: rows, type: Rows, data: [{text: a, more: b, shape: {format: regex, schema: a}}]}
  - {name: one, type: Ask, llm: m, prompt: "x ", generation: {top_k: 5}, structured_output: {format: regex, schema: "a+"}}
)";

GraphStep Step(const std::string& yaml) { return fake::MakeGraph(yaml).steps.at(1); }

enum class Effect { kNone, kOutputs, kBoth };

void ExpectEffect(const Keys& found, const Keys& base, Effect effect) {
  EXPECT_EQ(found.step != base.step, effect == Effect::kBoth);
  EXPECT_EQ(found.outputs != base.outputs, effect != Effect::kNone);
}

TEST(StepKeys, EveryFieldOfAStepIsPartOfItsKeyOrChangesNoOutput) {
  [[maybe_unused]] const auto [name, type, mark, llm, llm_mark, generation, generation_mark,
                               structured_output, after, after_mark, input_mappings,
                               output_mappings, input_mappings_mark, output_mappings_mark, on_error,
                               use_cache, params] = StepConfig();
  [[maybe_unused]] const auto [temperature, top_k, top_p, min_p, max_new_tokens, stop, ignore_eos,
                               seed] = GenerationSettings();
  [[maybe_unused]] const auto [constraint, column, close] = StructuredOutput();
  struct Edit {
    const char* what;
    std::string from;
    std::string to;
    Effect effect = Effect::kBoth;
  };
  const Edit edits[] = {
      {"nothing", "", "", Effect::kNone},
      {"name", "name: one", "name: uno", Effect::kNone},
      {"a mark", "steps:", "\n# moved\nsteps:", Effect::kNone},
      {"llm", "llm: m", "llm: n", Effect::kOutputs},  // the column model_name
      {"the model's path", "m: {path: tiny", "m: {path: other", Effect::kNone},  // its description
      {"after", "llm: m,", "llm: m, after: [rows],", Effect::kNone},
      {"on_error", "llm: m,", "llm: m, on_error: drop,", Effect::kNone},
      {"use_cache", "llm: m,", "llm: m, use_cache: false,", Effect::kNone},
      {"params", "prompt: \"x \"", "prompt: \"y \""},
      {"a default written out", "prompt: \"x \"", "prompt: \"x \", rounds: 1", Effect::kNone},
      {"another parameter", "prompt: \"x \"", "prompt: \"x \", rounds: 2"},
      {"input_mappings", "llm: m,", "llm: m, input_mappings: {text: more},"},
      {"output_mappings", "llm: m,", "llm: m, output_mappings: {answer: other},"},
      {"temperature", "top_k: 5", "top_k: 5, temperature: 0.5"},
      {"temperature of the model", "generation: {temperature: 1}}\n  n",
       "generation: {temperature: 0.5}}\n  n"},
      {"top_k", "top_k: 5", "top_k: 6"},
      {"top_p", "top_k: 5", "top_k: 5, top_p: 0.5"},
      {"min_p", "top_k: 5", "top_k: 5, min_p: 0.5"},
      {"max_new_tokens", "top_k: 5", "top_k: 5, max_new_tokens: 5"},
      {"stop", "top_k: 5", "top_k: 5, stop: [a]"},
      {"ignore_eos", "top_k: 5", "top_k: 5, ignore_eos: true"},
      {"seed", "top_k: 5", "top_k: 5, seed: 0"},
      {"constraint", "a+", "b+"},
      {"its kind", "format: regex, schema: \"a+\"", "format: json, schema: \"true\""},
      {"column", "format: regex, schema: \"a+\"", "column: shape"},
      {"close", "\"a+\"}", "\"a+\", close: true}"},
      {"no constraint", ", structured_output: {format: regex, schema: \"a+\"}", ""},
  };
  const std::string yaml(kYaml);
  const Keys base = KeysOf(Step(yaml));
  for (const Edit& edit : edits) {
    SCOPED_TRACE(edit.what);
    std::string edited = yaml;
    const size_t at = edited.find(edit.from);
    ASSERT_NE(at, std::string::npos);
    edited.replace(at, edit.from.size(), edit.to);
    ExpectEffect(KeysOf(Step(edited)), base, edit.effect);
  }
}

TEST(StepKeys, TheTypeAndItsVersionArePartOfTheKey) {
  const GraphStep step = Step(std::string(kYaml));
  const Keys base = KeysOf(step);
  StepType type = *step.type;
  GraphStep other = step;
  other.type = &type;
  ExpectEffect(KeysOf(other), base, Effect::kNone);
  type.version = 2;
  ExpectEffect(KeysOf(other), base, Effect::kBoth);
  type = *step.type;
  type.name = "Ask2";
  ExpectEffect(KeysOf(other), base, Effect::kBoth);
}

TEST(StepKeys, OfAModelTheAnswersKeyCounts) {
  [[maybe_unused]] const auto [name, digest, dispatch_level, answers_key, context_tokens_max,
                               embedding_dim, num_sequences_max] = ModelDescription();
  struct Line {
    const char* field;
    std::function<void(ModelDescription&)> change;
    Effect effect = Effect::kNone;  // all others are in the answers key, or change no answer
  };
  const Line lines[] = {
      {"name", [](ModelDescription& d) { d.name = "x"; }},
      {"digest", [](ModelDescription& d) { d.digest = "x"; }},
      {"dispatch_level", [](ModelDescription& d) { d.dispatch_level = "x"; }},
      {"answers_key", [](ModelDescription& d) { d.answers_key = "x"; }, Effect::kBoth},
      {"context_tokens_max", [](ModelDescription& d) { d.context_tokens_max = 5; }},
      {"embedding_dim", [](ModelDescription& d) { d.embedding_dim = 5; }},
      {"num_sequences_max", [](ModelDescription& d) { d.num_sequences_max = 5; }},
  };
  const GraphStep step = Step(std::string(kYaml));
  const Keys base = KeysOf(step);
  for (const Line& line : lines) {
    SCOPED_TRACE(line.field);
    ModelDescription description = SomeDescription();
    line.change(description);
    ExpectEffect(KeysOf(step, description), base, line.effect);
  }
}

}  // namespace
}  // namespace retort
