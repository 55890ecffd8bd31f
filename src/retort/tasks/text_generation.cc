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

// As Distilabel has it: a row may bring its own system message.
constexpr std::string_view kSystemPrompt = "system_prompt";

bool TakesSystemPrompt(const Params& params) { return params.String("chat_template") != "none"; }

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
        is_instruction_(!params.Has("template")),
        takes_system_prompt_(TakesSystemPrompt(params)),
        num_generations_(static_cast<size_t>(params.Int("num_generations"))),
        columns_(params) {}

  Row Process(const Row& inputs, RowContext& context) const override {
    if (is_instruction_ && !inputs.at("instruction").is_string()) {
      Throw(ErrorCode::kInvalid,
            "the instruction must be a text, found {}: a 'template' can make a prompt of any value",
            inputs.at("instruction").type_name());
    }
    const Prompt prompt =
        prompt_.Render(WithoutNulls(inputs), context.stop(), SystemPromptOf(inputs));
    const std::vector<Answer> answers =
        context.GenerateEach(std::vector<Prompt>(num_generations_, prompt), nullptr);
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

  // "" where the row has none.
  std::string_view SystemPromptOf(const Row& inputs) const {
    const auto found = inputs.find(kSystemPrompt);
    if (!takes_system_prompt_ || found == inputs.end() || !found->is_string()) return {};
    return found->get_ref<const std::string&>();
  }

  TaskPrompt prompt_;
  std::vector<std::string> optional_columns_;
  bool is_instruction_;  // as it is, without a template
  bool takes_system_prompt_;
  size_t num_generations_;
  AnswerColumns columns_;
};

}  // namespace

StepType TextGenerationType() {
  return {
      .name = "TextGeneration",
      .summary =
          "Answers an instruction, or any prompt made of a row's columns. A row's 'system_prompt', "
          "if it has one, takes the place of the parameter.",
      .example =
          "columns: [instruction]\ntemplate: 'Answer in one sentence: {{ instruction "
          "}}'\nnum_generations: 2",
      .version = 2,
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
      .optional_inputs =
          [](const Params& params) {
            std::vector<std::string> columns = params.Strings("optional_columns");
            const std::vector<std::string> listed = ColumnsOf(params);
            const bool is_listed =
                std::find(listed.begin(), listed.end(), kSystemPrompt) != listed.end();
            if (TakesSystemPrompt(params) && !is_listed) columns.emplace_back(kSystemPrompt);
            return columns;
          },
      .outputs =
          [](const Params& params) {
            std::vector<std::string> columns = {"generation"};
            for (std::string& name : AnswerColumns(params).Names()) {
              columns.push_back(std::move(name));
            }
            columns.emplace_back("model_name");
            return columns;
          },
      .input_kinds = {{kSystemPrompt, InputKind::kText}},
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
