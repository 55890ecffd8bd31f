#include <array>

#include "retort/base/error.h"
#include "retort/tasks/evolution.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

// After WizardLM (Xu et al. 2023, arXiv:2304.12244, section 3.2): four ways to make an instruction
// harder and one to make a new one beside it. The words are our own.
constexpr std::array kMutations = {
    Mutation{
        "CONSTRAINTS",
        "Rewrite the instruction below so that it asks for the same thing but adds one more "
        "requirement or limit that the answer must respect. Keep everything it already says, add "
        "at most twenty words, and keep it answerable. Do not answer it. Reply with the rewritten "
        "instruction only.\n\nInstruction:\n{{ instruction }}\n\nRewritten instruction:"},
    Mutation{
        "DEEPENING",
        "Rewrite the instruction below so that it goes further into its subject: where it stays on "
        "the surface, ask about causes, limits or consequences. Add at most twenty words and keep "
        "it answerable. Do not answer it. Reply with the rewritten instruction only.\n\n"
        "Instruction:\n{{ instruction }}\n\nRewritten instruction:"},
    Mutation{
        "CONCRETIZING",
        "Rewrite the instruction below so that general words in it become specific ones: name a "
        "place, a number, a person or a case. Add at most twenty words and keep it answerable. Do "
        "not answer it. Reply with the rewritten instruction only.\n\n"
        "Instruction:\n{{ instruction }}\n\nRewritten instruction:"},
    Mutation{
        "INCREASED_REASONING_STEPS",
        "Rewrite the instruction below so that answering it takes several steps of thought where "
        "one was enough. Add at most twenty words and keep it answerable. Do not answer it. Reply "
        "with the rewritten instruction only.\n\n"
        "Instruction:\n{{ instruction }}\n\nRewritten instruction:"},
    Mutation{
        "BREADTH",
        "Write a new instruction from the same field as the one below, about as long and as hard, "
        "but on a less usual subject. Do not answer it. Reply with the new instruction only.\n\n"
        "Instruction:\n{{ instruction }}\n\nNew instruction:"},
};
constexpr std::array<std::string_view, 1> kVariables = {"instruction"};
constexpr std::string_view kAnswerPrefix = "answer_";  // of the columns about generated answers

class EvolInstruct : public RowStep {
 public:
  explicit EvolInstruct(const Params& params)
      : evolution_(params, kMutations, kVariables),
        store_(params.Bool("store_evolutions")),
        include_original_(params.Bool("include_original_instruction")),
        answer_(params.Bool("generate_answers")),
        columns_(params) {}

  Row Process(const Row& inputs, RowContext& context) const override {
    const Evolved evolved = evolution_.Run(inputs, "instruction", context);
    const Json texts = evolved.Stored(store_, include_original_);
    Row outputs = Row::object();
    outputs[store_ ? "evolved_instructions" : "evolved_instruction"] = texts;
    columns_.Put(evolved.StoredAnswers(store_, include_original_), store_, outputs);
    if (answer_) PutAnswers(store_ ? texts : Json::array({texts}), context, outputs);
    outputs["model_name"] = context.model_name();
    return outputs;
  }

 private:
  // One answer per instruction that there is.
  void PutAnswers(const Json& instructions, RowContext& context, Row& outputs) const {
    std::vector<Prompt> prompts;
    for (const Json& instruction : instructions) {
      if (instruction.is_null()) continue;
      ChatPrompt chat;
      chat.messages.push_back({{"role", "user"}, {"content", instruction}});
      prompts.emplace_back(std::move(chat));
    }
    const std::vector<Answer> answers = context.GenerateEach(std::move(prompts), nullptr);
    std::vector<Json> texts = AnswerTexts(answers, "answer", context);
    Json placed = Json::array();
    std::vector<const Answer*> behind;
    size_t next = 0;
    for (const Json& instruction : instructions) {
      const bool asked = !instruction.is_null();
      placed.push_back(asked ? std::move(texts[next]) : Json(nullptr));
      behind.push_back(asked ? &answers[next] : nullptr);
      if (asked) ++next;
    }
    outputs[store_ ? "answers" : "answer"] = store_ ? placed : placed.front();
    columns_.Put(behind, store_, outputs, kAnswerPrefix);
  }

  Evolution evolution_;
  bool store_;
  bool include_original_;
  bool answer_;
  AnswerColumns columns_;
};

void Check(const Params& params) {
  [[maybe_unused]] const Evolution refuses(params, kMutations, kVariables);
  if (params.Bool("generate_answers") && params.String("chat_template") == "none") {
    Throw(ErrorCode::kInvalid,
          "parameter 'generate_answers' asks the evolved instruction in a chat, which "
          "'chat_template: none' rules out: add a TextGeneration step for the answers");
  }
}

}  // namespace

StepType EvolInstructType() {
  std::vector<ParamSpec> params = EvolutionParams("include_original_instruction");
  params.push_back({.name = "generate_answers",
                    .type = ParamType::kBool,
                    .default_value = false,
                    .help = "Also answer each instruction that is kept."});
  return {
      .name = "EvolInstruct",
      .summary = "Makes instructions harder step by step (WizardLM, Xu et al. 2023).",
      .example = "num_evolutions: 2",
      .kind = StepKind::kRow,
      .params = WithChatParams(std::move(params)),
      .inputs = [](const Params&) { return std::vector<std::string>{"instruction"}; },
      .outputs =
          [](const Params& params) {
            std::vector<std::string> columns = {
                EvolvedColumn(params, "evolved_instruction", "evolved_instructions")};
            const auto add = [&](const std::vector<std::string>& names) {
              columns.insert(columns.end(), names.begin(), names.end());
            };
            add(AnswerColumns(params).Names());
            if (params.Bool("generate_answers")) {
              columns.push_back(EvolvedColumn(params, "answer", "answers"));
              add(AnswerColumns(params).Names(kAnswerPrefix));
            }
            columns.emplace_back("model_name");
            return columns;
          },
      .input_kinds = {{"instruction", InputKind::kText}},
      .check = Check,
      .warnings =
          [](const Params& params) {
            return Evolution(params, kMutations, kVariables).Warnings("instruction");
          },
      .model_use = [](const Params&) { return ModelUse::kGenerate; },
      .create = [](const Params& params) -> std::unique_ptr<Step> {
        return std::make_unique<EvolInstruct>(params);
      },
  };
}

}  // namespace retort
