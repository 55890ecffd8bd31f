#include "retort/tasks/task_prompt.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "retort/base/error.h"
#include "retort/chat/globals.h"
#include "retort/pipeline/node_reader.h"

namespace retort {
namespace {

// A name in single braces, as Python's f-strings and str.format() have it, or "".
std::string SingleBraced(std::string_view text, std::string_view name) {
  const std::string braced = fmt::format("{{{}}}", name);
  for (size_t at = 0; (at = text.find(braced, at)) != std::string_view::npos; ++at) {
    const size_t end = at + braced.size();
    const bool doubled = (at > 0 && text[at - 1] == '{') || (end < text.size() && text[end] == '}');
    if (!doubled) return braced;
  }
  return "";
}

std::vector<std::string> WarningsOf(std::string_view source, std::string_view parameter,
                                    std::string_view system_prompt,
                                    std::span<const std::string_view> variables) {
  std::vector<std::string> warnings;
  for (const std::string_view name : variables) {
    if (const std::string braced = SingleBraced(source, name); !braced.empty()) {
      warnings.push_back(fmt::format(
          "parameter '{}' holds '{}', which is sent as it stands: write '{{{{ {} }}}}' for the "
          "column's value",
          parameter, braced, name));
    }
    if (const std::string braced = SingleBraced(system_prompt, name); !braced.empty()) {
      warnings.push_back(fmt::format(
          "parameter 'system_prompt' holds '{}': it is no template and is sent as it stands",
          braced));
    }
  }
  for (const std::string_view mark : {"{{", "{%"}) {
    if (system_prompt.find(mark) == std::string_view::npos) continue;
    warnings.push_back(fmt::format(
        "parameter 'system_prompt' holds '{}': it is no template and is sent as it stands", mark));
  }
  return warnings;
}

}  // namespace

TaskPrompt::TaskPrompt(std::string_view source, std::string_view parameter,
                       std::span<const std::string_view> variables, const Params& params)
    : template_(Template::Parse(source, fmt::format("parameter '{}'", parameter),
                                TemplateOptions::ForPrompt())),
      system_prompt_(params.Has("system_prompt") ? params.String("system_prompt") : ""),
      raw_(params.String("chat_template") == "none") {
  warnings_ = WarningsOf(source, parameter, system_prompt_, variables);
  for (const std::string& name : template_.free_names()) {
    if (std::find(variables.begin(), variables.end(), name) != variables.end()) continue;
    if (IsTemplateGlobal(name)) continue;
    const bool listed = params.values().contains("columns");
    Throw(ErrorCode::kInvalid, "parameter '{}': there is no variable '{}' here{}{}{}", parameter,
          name, DidYouMean(name, {variables.begin(), variables.end()}),
          variables.empty() ? ": the step has no columns"
                            : fmt::format(", only {}", fmt::join(variables, ", ")),
          listed ? "; name it in 'columns' if the rows have it" : "");
  }
  if (!variables.empty() && std::none_of(variables.begin(), variables.end(),
                                         [this](std::string_view name) { return Uses(name); })) {
    Throw(
        ErrorCode::kInvalid,
        "parameter '{}' uses none of {}: every row would get one and the same prompt. Write "
        "'{{{{ {} }}}}' where its value belongs{}",
        parameter, fmt::join(variables, ", "), variables.front(),
        params.values().contains("columns") ? "; if one prompt is meant, write 'columns: []'" : "");
  }
  if (raw_ && !system_prompt_.empty()) {
    Throw(
        ErrorCode::kInvalid,
        "parameter 'system_prompt' has no place in a raw prompt ('chat_template: none'): write it "
        "into the template");
  }
}

bool TaskPrompt::Uses(std::string_view variable) const {
  const std::vector<std::string>& names = template_.free_names();
  return std::find(names.begin(), names.end(), variable) != names.end();
}

Prompt TaskPrompt::Render(const Json& values, std::stop_token stop,
                          std::string_view system_prompt) const {
  RenderOptions options;
  options.members_must_exist = true;
  options.stop = std::move(stop);
  std::vector<Span> spans = template_.Render(values, options);
  if (raw_) return spans;
  ChatPrompt chat;
  if (system_prompt.empty()) system_prompt = system_prompt_;
  if (!system_prompt.empty()) {
    chat.messages.push_back({{"role", "system"}, {"content", system_prompt}});
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

}  // namespace retort
