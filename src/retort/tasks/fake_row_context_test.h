#pragma once

#include <deque>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "retort/pipeline/input_kinds.h"
#include "retort/pipeline/step.h"

namespace retort {

// A row context for tests of tasks: answers from a list, keeps the prompts it was asked.
class FakeRowContext : public RowContext {
 public:
  std::deque<std::string> answers;
  bool structured = false;        // the step has a structured_output
  std::string unmet = "(unmet)";  // the answer that is not what structured_output asks for
  std::string cut = "(cut)";      // the answer that max_new_tokens ended
  std::function<std::vector<double>(const std::string& prompt)> first_token_logprobs;
  std::vector<float> embedding = {1, 2};
  uint64_t random = 0;  // Random(draw) is random + draw

  std::vector<std::string> prompts;  // as text: chat messages as "role: content" lines
  std::string raw;
  std::vector<Prompt> asked;
  std::vector<std::shared_ptr<const ConstraintText>> constraints;  // of each call of Generate
  PoolingKind pooling = PoolingKind::kMean;
  std::stop_source stopper;

  std::stop_token stop() const override { return stopper.get_token(); }
  uint64_t Random(uint64_t draw) const override { return random + draw; }
  std::vector<Answer> GenerateEach(std::vector<Prompt> wanted,
                                   std::shared_ptr<const ConstraintText> constraint) override {
    constraints.push_back(std::move(constraint));
    std::vector<Answer> given;
    for (Prompt& prompt : wanted) {
      Keep(std::move(prompt));
      Answer& answer = given.emplace_back();
      answer.completion.text = answers.at(0);
      answer.as_generated = structured;
      answers.pop_front();
      if (answer.completion.text == unmet) {
        answer.error = Error(ErrorCode::kExhausted, "not what structured_output asks for");
      }
      if (answer.completion.text == cut) answer.completion.finish_reason = FinishReason::kLength;
    }
    return given;
  }
  std::vector<Scores> Score(std::vector<Prompt> wanted,
                            std::vector<std::string> continuations) override {
    std::vector<Scores> scores;
    for (Prompt& prompt : wanted) {
      Keep(std::move(prompt));
      Scores answer;
      for (const double logprob : first_token_logprobs(prompts.back())) {
        answer.continuations.push_back(
            {.logprob = logprob, .first_token_logprob = logprob, .num_tokens = 1});
      }
      answer.continuations.resize(continuations.size());
      scores.push_back(std::move(answer));
    }
    return scores;
  }
  std::vector<float> Embed(Prompt prompt, PoolingKind kind, bool) override {
    Keep(std::move(prompt));
    pooling = kind;
    return embedding;
  }
  std::string_view model_name() const override { return "fake"; }
  void KeepRaw(std::string_view text) override { raw = text; }

 private:
  void Keep(Prompt prompt) {
    std::string text;
    if (const auto* chat = std::get_if<ChatPrompt>(&prompt)) {
      for (const Json& message : chat->messages) {
        text += message.at("role").get<std::string>() + ": " +
                message.at("content").get<std::string>() + "\n";
      }
    } else if (const auto* spans = std::get_if<std::vector<Span>>(&prompt)) {
      text = PlainText(*spans);
    }
    prompts.push_back(std::move(text));
    asked.push_back(std::move(prompt));
  }
};

// The parameters of a step type: its defaults, then what is set.
inline Params WithDefaults(const StepType& type, const Json& set) {
  Json values = Json::object();
  for (const ParamSpec& spec : type.params) values[std::string(spec.name)] = spec.default_value;
  if (set.is_object()) values.update(set);
  return Params(values);
}

// Checks the parameters, makes the step and processes one row.
inline Row RunTask(const StepType& type, const Json& set, const Row& inputs, RowContext& context) {
  const Params params = WithDefaults(type, set);
  type.check(params);
  std::vector<ColumnBinding> bindings;
  for (const std::string& name : type.inputs(params)) bindings.push_back({name, name, true});
  CheckInputKinds(type, bindings, inputs);
  const auto step = type.create(params);
  return dynamic_cast<RowStep&>(*step).Process(inputs, context);
}

}  // namespace retort
