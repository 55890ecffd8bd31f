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
  // `source` may use `variables` and nothing else. Throws Error{kInvalid} naming `parameter`, the
  // line, and the variables there are.
  TaskPrompt(std::string_view source, std::string_view parameter,
             std::span<const std::string_view> variables, const Params& params);

  // Throws Error{kCancelled} soon after `stop`.
  Prompt Render(const Json& values, std::stop_token stop) const;

 private:
  Template template_;
  std::string system_prompt_;
  bool raw_;
};

// The parameters that every prompting task shares, after its own: template, system_prompt,
// chat_template.
std::vector<ParamSpec> WithPromptParams(std::vector<ParamSpec> own, std::string_view template_help);

// The same without `template`, for tasks with several.
std::vector<ParamSpec> WithChatParams(std::vector<ParamSpec> own);

// An answer as it is stored. What `structured_output` asks for is never altered; other text has no
// white space at its ends. Throws Error{kInvalid} if nothing is left of it: an empty answer is a
// failed row.
std::string RequireText(std::string_view text, std::string_view what, const RowContext& context);

}  // namespace retort
