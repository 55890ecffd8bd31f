#include <algorithm>

#include "retort/base/error.h"
#include "retort/tasks/answers.h"
#include "retort/tasks/task_list.h"
#include "retort/tasks/task_prompt.h"

namespace retort {
namespace {

constexpr std::string_view kDefaultTemplate = "{{ instruction }}";

std::string SourceOf(const Params& params) {
  return params.Has("template") ? params.String("template") : std::string(kDefaultTemplate);
}

std::vector<std::string> ColumnsOf(const Params& params) {
  std::vector<std::string> columns = params.Strings("columns");
  for (const std::string& column : params.Strings("optional_columns")) {
    if (std::find(columns.begin(), columns.end(), column) != columns.end()) {
      Throw(ErrorCode::kInvalid,
            "parameter 'optional_columns' names '{}', which 'columns' or itself names too", column);
    }
    columns.push_back(column);
  }
  return columns;
}

TaskPrompt PromptOf(const Params& params) {
  const std::vector<std::string> columns = ColumnsOf(params);
  const std::vector<std::string_view> variables(columns.begin(), columns.end());
  return TaskPrompt(SourceOf(params), "template", variables, params);
}

class TextGeneration : public RowStep {
 public:
  explicit TextGeneration(const Params& params)
      : prompt_(PromptOf(params)),
        optional_columns_(params.Strings("optional_columns")),
        num_generations_(static_cast<size_t>(params.Int("num_generations"))),
        columns_(params) {}

  Row Process(const Row& inputs, RowContext& context) const override {
    const std::vector<Answer> answers = context.GenerateEach(
        std::vector<Prompt>(num_generations_, prompt_.Render(WithoutNulls(inputs), context.stop())),
        nullptr);
    std::vector<Json> texts = AnswerTexts(answers, "answer", context);
    const bool as_list = num_generations_ > 1;
    Row outputs = {{"generation", as_list ? Json(texts) : texts.front()}};
    std::vector<const Answer*> all;
    for (const Answer& answer : answers) all.push_back(&answer);
    columns_.Put(all, as_list, outputs);
    outputs["model_name"] = context.model_name();
    return outputs;
  }

 private:
  // To the template, an optional column without a value is one that is not there.
  Row WithoutNulls(Row inputs) const {
    for (const std::string& column : optional_columns_) {
      const auto found = inputs.find(column);
      if (found != inputs.end() && found->is_null()) inputs.erase(found);
    }
    return inputs;
  }

  TaskPrompt prompt_;
  std::vector<std::string> optional_columns_;
  size_t num_generations_;
  AnswerColumns columns_;
};

}  // namespace

StepType TextGenerationType() {
  return {
      .name = "TextGeneration",
      .summary = "Answers an instruction, or any prompt made of a row's columns.",
      .example =
          "columns: [instruction]\ntemplate: 'Answer in one sentence: {{ instruction "
          "}}'\nnum_generations: 2",
      .kind = StepKind::kRow,
      .params = WithPromptParams(
          WithAnswerParams(
              {{.name = "columns",
                .type = ParamType::kStringList,
                .default_value = {"instruction"},
                .help = "Columns the template uses; each row must have them. [] if the prompt is "
                        "the same for every row."},
               {.name = "optional_columns",
                .type = ParamType::kStringList,
                .default_value = Json::array(),
                .help = "Columns the template uses where a row has them: undefined where they are "
                        "absent or null, e.g. {{ context | default('none') }}."},
               {.name = "num_generations",
                .type = ParamType::kInt,
                .default_value = 1,
                .min = 1,
                .max = 1024,
                .help = "Answers per row; above 1, the column 'generation' holds their list, with "
                        "null for an answer that is empty."}}),
          "Jinja template of the prompt over the columns; by default the instruction itself."),
      .inputs = [](const Params& params) { return params.Strings("columns"); },
      .optional_inputs = [](const Params& params) { return params.Strings("optional_columns"); },
      .outputs =
          [](const Params& params) {
            std::vector<std::string> columns = {"generation"};
            for (std::string& name : AnswerColumns(params).Names()) {
              columns.push_back(std::move(name));
            }
            columns.emplace_back("model_name");
            return columns;
          },
      .check = [](const Params& params) { PromptOf(params); },
      .warnings =
          [](const Params& params) {
            const TaskPrompt prompt = PromptOf(params);
            std::vector<std::string> warnings = prompt.warnings();
            for (const std::string& column : ColumnsOf(params)) {
              if (prompt.Uses(column)) continue;
              warnings.push_back(fmt::format(
                  "parameter 'template' does not use the column '{}', which the step asks for: its "
                  "value is in no prompt",
                  column));
            }
            return warnings;
          },
      .model_use = [](const Params&) { return ModelUse::kGenerate; },
      .create = [](const Params& params) -> std::unique_ptr<Step> {
        return std::make_unique<TextGeneration>(params);
      },
  };
}

}  // namespace retort
