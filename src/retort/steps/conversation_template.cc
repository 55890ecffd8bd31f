#include "retort/pipeline/step.h"
#include "retort/steps/step_list.h"

namespace retort {
namespace {

class ConversationTemplate : public RowStep {
 public:
  Row Process(const Row& inputs, RowContext&) const override {
    return {{"conversation",
             Json::array({{{"role", "user"}, {"content", inputs.at("instruction")}},
                          {{"role", "assistant"}, {"content", inputs.at("response")}}})}};
  }
};

}  // namespace

StepType ConversationTemplateType() {
  return {
      .name = "ConversationTemplate",
      .summary = "Makes a one-turn conversation of an instruction and its response.",
      .kind = StepKind::kRow,
      .inputs =
          [](const Params&) {
            return std::vector<std::string>{"instruction", "response"};
          },
      .outputs = [](const Params&) { return std::vector<std::string>{"conversation"}; },
      .create = [](const Params&) { return std::make_unique<ConversationTemplate>(); },
  };
}

}  // namespace retort
