#include "retort/base/error.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

class GenerateEmbeddings : public RowStep {
 public:
  explicit GenerateEmbeddings(const Params& params)
      : pooling_(params.String("pooling") == "mean" ? PoolingKind::kMean : PoolingKind::kLastToken),
        normalize_(params.Bool("normalize")) {}

  Row Process(const Row& inputs, RowContext& context) const override {
    return {{"embedding", context.Embed(PromptOf(inputs.at("text")), pooling_, normalize_)},
            {"model_name", context.model_name()}};
  }

 private:
  // A conversation goes through the model's chat template, a text as it is.
  static Prompt PromptOf(const Json& text) {
    if (text.is_string()) {
      const auto& content = text.get_ref<const std::string&>();
      if (content.empty()) Throw(ErrorCode::kInvalid, "column 'text' is empty: nothing to embed");
      return std::vector<Span>{{content, false}};
    }
    ChatPrompt chat;
    chat.messages = text;
    chat.add_generation_prompt = false;
    return chat;
  }

  PoolingKind pooling_;
  bool normalize_;
};

}  // namespace

StepType GenerateEmbeddingsType() {
  return {
      .name = "GenerateEmbeddings",
      .summary = "The model's hidden state over a text or a conversation, after its last norm.",
      .example = "pooling: mean",
      .kind = StepKind::kRow,
      .params = {{.name = "pooling",
                  .type = ParamType::kString,
                  .default_value = "last",
                  .choices = {"last", "mean"},
                  .help = "The state of the last token, or the mean over all."},
                 {.name = "normalize",
                  .type = ParamType::kBool,
                  .default_value = false,
                  .help = "Scale to length 1."}},
      .inputs = [](const Params&) { return std::vector<std::string>{"text"}; },
      .outputs =
          [](const Params&) {
            return std::vector<std::string>{"embedding", "model_name"};
          },
      .input_kinds = {{"text", InputKind::kTextOrConversation}},
      .model_use = [](const Params&) { return ModelUse::kEmbed; },
      .create = [](const Params& params) -> std::unique_ptr<Step> {
        return std::make_unique<GenerateEmbeddings>(params);
      },
  };
}

}  // namespace retort
