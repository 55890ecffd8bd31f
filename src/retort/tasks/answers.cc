#include "retort/tasks/answers.h"

#include "retort/base/error.h"

namespace retort {
namespace {

constexpr std::string_view kSpace = " \t\r\n\v\f";

std::string_view FinishReasonName(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}

}  // namespace

std::optional<std::string> AnswerText(const Answer& answer) {
  if (answer.error) return std::nullopt;
  const std::string& text = answer.completion.text;
  if (answer.as_generated) return text;
  if (IsBlank(text)) return std::nullopt;
  const size_t begin = text.find_first_not_of(kSpace);
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::vector<Json> AnswerTexts(const std::vector<Answer>& answers, std::string_view what,
                              RowContext& context) {
  std::vector<Json> texts;
  Json raw = Json::array();
  bool found = false;
  const Error* error = nullptr;
  for (const Answer& answer : answers) {
    const std::optional<std::string> text = AnswerText(answer);
    texts.push_back(text ? Json(*text) : Json(nullptr));
    found = found || text;
    raw.push_back(answer.completion.text);
    if (answer.error && error == nullptr) error = &*answer.error;
  }
  context.KeepRaw(raw.size() == 1 ? raw[0].get<std::string>() : DumpJson(raw));
  if (found) return texts;
  if (error != nullptr) throw *error;
  if (answers.size() == 1) Throw(ErrorCode::kInvalid, "the model's {} is empty", what);
  Throw(ErrorCode::kInvalid, "each of the model's {} {}s is empty", answers.size(), what);
}

std::vector<std::string> AnswerColumns::Names(std::string_view prefix) const {
  std::vector<std::string> names;
  if (finish_reason_) names.push_back(std::string(prefix) + "finish_reason");
  if (raw_) names.push_back(std::string(prefix) + "raw_output");
  return names;
}

void AnswerColumns::Put(const std::vector<const Answer*>& answers, bool as_list, Row& outputs,
                        std::string_view prefix) const {
  Json reasons = Json::array();
  Json raw = Json::array();
  for (const Answer* answer : answers) {
    reasons.push_back(answer == nullptr ? Json(nullptr)
                                        : Json(FinishReasonName(answer->completion.finish_reason)));
    raw.push_back(answer == nullptr ? Json(nullptr) : Json(answer->completion.text));
  }
  const auto put = [&](std::string_view name, Json& values) {
    outputs[std::string(prefix) + std::string(name)] =
        as_list ? std::move(values) : std::move(values.back());
  };
  if (finish_reason_) put("finish_reason", reasons);
  if (raw_) put("raw_output", raw);
}

std::vector<ParamSpec> WithAnswerParams(std::vector<ParamSpec> own) {
  own.push_back({.name = "add_finish_reason",
                 .type = ParamType::kBool,
                 .default_value = false,
                 .help = "Add the column 'finish_reason': stop if the model ended its answer, "
                         "length if max_new_tokens or the context did."});
  own.push_back({.name = "add_raw_output",
                 .type = ParamType::kBool,
                 .default_value = false,
                 .help = "Add the column 'raw_output': the model's text as it came."});
  return own;
}

}  // namespace retort
