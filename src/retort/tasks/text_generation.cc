#include <algorithm>

#include "retort/base/error.h"
#include "retort/tasks/task_list.h"
#include "retort/tasks/task_prompt.h"

namespace retort {
namespace {

constexpr std::string_view kDefaultTemplate = "{{ instruction }}";

std::string SourceOf(const Params& params) {
  return params.Has("template") ? params.String("template") : std::string(kDefaultTemplate);
}

TaskPrompt PromptOf(const Params& params) {
  std::vector<std::string> columns = params.Strings("columns");
  for (std::string& column : params.Strings("optional_columns")) {
    columns.push_back(std::move(column));
  }
  const std::vector<std::string_view> variables(columns.begin(), columns.end());
  return TaskPrompt(SourceOf(params), "template", variables, params);
}

class TextGeneration : public RowStep {
 public:
  explicit TextGeneration(const Params& params)
      : prompt_(PromptOf(params)),
        num_generations_(static_cast<size_t>(params.Int("num_generations"))) {}

  Row Process(const Row& inputs, RowContext& context) const override {
    const std::vector<Completion> completions =
        context.Generate(std::vector<Prompt>(num_generations_, prompt_.Render(inputs)));
    Json texts = Json::array();
    for (const Completion& completion : completions) {
      context.KeepRaw(completion.text);
      texts.push_back(RequireText(completion.text, "answer"));
    }
    return {{"generation", num_generations_ == 1 ? texts.front() : texts},
            {"model_name", context.model_name()}};
  }

 private:
  TaskPrompt prompt_;
  size_t num_generations_;
};

}  // namespace

StepType TextGenerationType() {
  return {
      .name = "TextGeneration",
      .summary = "Answers an instruction, or any prompt made of a row's columns.",
      .kind = StepKind::kRow,
      .params = WithPromptParams(
          {{.name = "columns",
            .type = ParamType::kStringList,
            .default_value = {"instruction"},
            .help = "Columns the template uses."},
           {.name = "optional_columns",
            .type = ParamType::kStringList,
            .default_value = Json::array(),
            .help = "Columns it uses that a row may lack or have null in: undefined there, as in "
                    "{{ context | default('') }}."},
           {.name = "num_generations",
            .type = ParamType::kInt,
            .default_value = 1,
            .min = 1,
            .max = 1024,
            .help = "Answers per row; above 1, the column 'generation' holds their list."}},
          "Jinja template of the prompt over the columns; by default the instruction itself."),
      .inputs = [](const Params& params) { return params.Strings("columns"); },
      .optional_inputs = [](const Params& params) { return params.Strings("optional_columns"); },
      .outputs =
          [](const Params&) {
            return std::vector<std::string>{"generation", "model_name"};
          },
      .check = [](const Params& params) { PromptOf(params); },
      .model_use = [](const Params&) { return ModelUse::kGenerate; },
      .create = [](const Params& params) -> std::unique_ptr<Step> {
        return std::make_unique<TextGeneration>(params);
      },
  };
}

}  // namespace retort
