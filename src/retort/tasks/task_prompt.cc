#include "retort/tasks/task_prompt.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "retort/base/error.h"

namespace retort {

TaskPrompt::TaskPrompt(std::string_view source, std::string_view parameter,
                       std::span<const std::string_view> variables, const Params& params)
    : template_(Template::Parse(source, fmt::format("parameter '{}'", parameter),
                                TemplateOptions::ForPrompt())),
      system_prompt_(params.Has("system_prompt") ? params.String("system_prompt") : ""),
      raw_(params.String("chat_template") == "none") {
  for (const std::string& name : template_.free_names()) {
    if (std::find(variables.begin(), variables.end(), name) == variables.end()) {
      Throw(ErrorCode::kInvalid, "parameter '{}': there is no variable '{}' here, only {}",
            parameter, name, fmt::join(variables, ", "));
    }
  }
  if (raw_ && !system_prompt_.empty()) {
    Throw(
        ErrorCode::kInvalid,
        "parameter 'system_prompt' has no place in a raw prompt ('chat_template: none'): write it "
        "into the template");
  }
}

Prompt TaskPrompt::Render(const Json& values, std::stop_token stop) const {
  RenderOptions options;
  options.stop = std::move(stop);
  std::vector<Span> spans = template_.Render(values, options);
  if (raw_) return spans;
  ChatPrompt chat;
  if (!system_prompt_.empty()) {
    chat.messages.push_back({{"role", "system"}, {"content", system_prompt_}});
  }
  chat.messages.push_back({{"role", "user"}, {"content", PlainText(spans)}});
  return chat;
}

std::vector<ParamSpec> WithChatParams(std::vector<ParamSpec> own) {
  own.push_back({.name = "system_prompt",
                 .type = ParamType::kString,
                 .help = "System message before the prompt."});
  own.push_back({.name = "chat_template",
                 .type = ParamType::kString,
                 .default_value = "auto",
                 .choices = {"auto", "none"},
                 .help = "auto: the prompt is the user message of the model's chat template; none: "
                         "it is sent as it is."});
  return own;
}

std::vector<ParamSpec> WithPromptParams(std::vector<ParamSpec> own,
                                        std::string_view template_help) {
  own.push_back({.name = "template", .type = ParamType::kString, .help = template_help});
  return WithChatParams(std::move(own));
}

std::string RequireText(std::string_view text, std::string_view what, const RowContext& context) {
  if (context.has_structured_output()) return std::string(text);
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) {
    Throw(ErrorCode::kInvalid, "the model's {} is empty", what);
  }
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) - begin + 1));
}

}  // namespace retort
