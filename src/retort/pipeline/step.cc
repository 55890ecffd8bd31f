#include "retort/pipeline/step.h"

#include "retort/base/error.h"

namespace retort {

const Json& Params::At(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) {
    Throw(ErrorCode::kInternal, "a step asked for its parameter '{}', which it does not declare",
          name);
  }
  return *found;
}

bool Params::Bool(std::string_view name) const { return At(name).get<bool>(); }
int64_t Params::Int(std::string_view name) const { return At(name).get<int64_t>(); }
double Params::Float(std::string_view name) const { return At(name).get<double>(); }
std::string Params::String(std::string_view name) const { return At(name).get<std::string>(); }
std::vector<std::string> Params::Strings(std::string_view name) const {
  return At(name).get<std::vector<std::string>>();
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

std::vector<Completion> RowContext::Generate(std::vector<Prompt> prompts,
                                             std::shared_ptr<const ConstraintText> constraint) {
  std::vector<Completion> completions;
  for (Answer& answer : GenerateEach(std::move(prompts), std::move(constraint))) {
    if (answer.error) {
      KeepRaw(answer.completion.text);
      throw *answer.error;
    }
    completions.push_back(std::move(answer.completion));
  }
  return completions;
}

}  // namespace retort
