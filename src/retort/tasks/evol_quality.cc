#include <array>

#include "retort/tasks/evolution.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

// After DEITA's Evol-Quality (Liu et al. 2024, arXiv:2312.15685, section 2.4): ways to make a
// response better. The words are our own.
constexpr std::array kMutations = {
    Mutation{
        "HELPFULNESS",
        "Below are an instruction and a response to it. Rewrite the response so that it helps the "
        "reader more: clearer, and nearer to what was asked. Reply with the rewritten response "
        "only.\n\nInstruction:\n{{ instruction }}\n\nResponse:\n{{ response }}\n\n"
        "Rewritten response:"},
    Mutation{
        "RELEVANCE",
        "Below are an instruction and a response to it. Rewrite the response so that every "
        "sentence "
        "serves the instruction, and leave out what does not. Reply with the rewritten response "
        "only.\n\nInstruction:\n{{ instruction }}\n\nResponse:\n{{ response }}\n\n"
        "Rewritten response:"},
    Mutation{
        "DEEPENING",
        "Below are an instruction and a response to it. Rewrite the response so that it explains "
        "more thoroughly why things are as it says. Reply with the rewritten response only.\n\n"
        "Instruction:\n{{ instruction }}\n\nResponse:\n{{ response }}\n\nRewritten response:"},
    Mutation{
        "CREATIVITY",
        "Below are an instruction and a response to it. Rewrite the response with a fresh idea, an "
        "unusual example or a better image, still true to the instruction. Reply with the "
        "rewritten "
        "response only.\n\nInstruction:\n{{ instruction }}\n\nResponse:\n{{ response }}\n\n"
        "Rewritten response:"},
    Mutation{
        "DETAILS",
        "Below are an instruction and a response to it. Rewrite the response with more details: "
        "facts, numbers, steps or examples that it lacks. Reply with the rewritten response only."
        "\n\nInstruction:\n{{ instruction }}\n\nResponse:\n{{ response }}\n\n"
        "Rewritten response:"},
};
constexpr std::array<std::string_view, 2> kVariables = {"instruction", "response"};

class EvolQuality : public RowStep {
 public:
  explicit EvolQuality(const Params& params)
      : evolution_(params, kMutations, kVariables),
        store_(params.Bool("store_evolutions")),
        include_original_(params.Bool("include_original_response")),
        columns_(params) {}

  Row Process(const Row& inputs, RowContext& context) const override {
    const Evolved evolved = evolution_.Run(inputs, "response", context);
    Row outputs = Row::object();
    outputs[store_ ? "evolved_responses" : "evolved_response"] =
        evolved.Stored(store_, include_original_);
    columns_.Put(evolved.StoredAnswers(store_, include_original_), store_, outputs);
    outputs["model_name"] = context.model_name();
    return outputs;
  }

 private:
  Evolution evolution_;
  bool store_;
  bool include_original_;
  AnswerColumns columns_;
};

}  // namespace

StepType EvolQualityType() {
  return {
      .name = "EvolQuality",
      .summary = "Makes responses better step by step (DEITA, Liu et al. 2024).",
      .example = "num_evolutions: 2",
      .kind = StepKind::kRow,
      .params = WithChatParams(EvolutionParams("include_original_response")),
      .inputs =
          [](const Params&) {
            return std::vector<std::string>{"instruction", "response"};
          },
      .outputs =
          [](const Params& params) {
            std::vector<std::string> columns = {
                EvolvedColumn(params, "evolved_response", "evolved_responses")};
            for (std::string& name : AnswerColumns(params).Names()) {
              columns.push_back(std::move(name));
            }
            columns.emplace_back("model_name");
            return columns;
          },
      .input_kinds = {{"instruction", InputKind::kText}, {"response", InputKind::kText}},
      .check = [](const Params& params) { Evolution(params, kMutations, kVariables); },
      .warnings =
          [](const Params& params) {
            return Evolution(params, kMutations, kVariables).Warnings("response");
          },
      .model_use = [](const Params&) { return ModelUse::kGenerate; },
      .create = [](const Params& params) -> std::unique_ptr<Step> {
        return std::make_unique<EvolQuality>(params);
      },
  };
}

}  // namespace retort
