#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "retort/chat/template.h"
#include "retort/llm/request.h"
#include "retort/pipeline/step.h"

namespace retort {

// What a task sends to its model: a Jinja template over named variables, as the user message of a
// chat, or, with `chat_template: none`, as the raw prompt (published scorers need their exact
// text). Values of variables are content: whatever they spell, they cannot form control tokens.
class TaskPrompt {
 public:
  // `source` may use `variables` and nothing else, and one of them at least if there are any: else
  // every row would get one and the same prompt. Throws Error{kInvalid} naming `parameter`, the
  // line, and the variables there are.
  TaskPrompt(std::string_view source, std::string_view parameter,
             std::span<const std::string_view> variables, const Params& params);

  // `system_prompt`, unless it is empty, takes the place of the parameter. Throws Error{kInvalid}
  // if the template prints an attribute that a value lacks: the prompt would have a gap that nobody
  // sees. Throws Error{kCancelled} soon after `stop`.
  Prompt Render(const Json& values, std::stop_token stop,
                std::string_view system_prompt = {}) const;

  bool Uses(std::string_view variable) const;
  // What looks like a variable, but is sent as it stands. One sentence each.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  Template template_;
  std::vector<std::string> warnings_;
  std::string system_prompt_;
  bool raw_;
};

// The parameters that every prompting task shares, after its own: template, system_prompt,
// chat_template.
std::vector<ParamSpec> WithPromptParams(std::vector<ParamSpec> own, std::string_view template_help);

// The same without `template`, for tasks with several.
std::vector<ParamSpec> WithChatParams(std::vector<ParamSpec> own);

}  // namespace retort
