#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "retort/pipeline/step.h"
#include "retort/tasks/answers.h"
#include "retort/tasks/task_prompt.h"

namespace retort {

// A way to rewrite a text: its name and the template of the prompt that asks for it.
struct Mutation {
  std::string_view name;
  std::string_view prompt;
};

// What a chain of rewrites made.
struct Evolved {
  // The original, then one text per evolution; null where the model's answer was empty. The
  // evolution after that starts from the last text there is.
  std::vector<Json> texts;
  std::vector<Answer> answers;  // one per evolution

  // The outputs of the columns that hold texts: the list of `texts` if they are stored, with the
  // original if it is included; else the last text.
  Json Stored(bool store, bool include_original) const;
  // The answers behind them, null for the original.
  std::vector<const Answer*> StoredAnswers(bool store, bool include_original) const;

 private:
  size_t Last() const;  // the last text that is there
};

// The chain of rewrites that EvolInstruct and EvolQuality share: each evolution draws one mutation
// at random and applies it to the text that the one before it made.
class Evolution {
 public:
  // Mutations come from the parameter `mutation_templates` (a map name → template) if set, else
  // from `defaults`.
  Evolution(const Params& params, std::span<const Mutation> defaults,
            std::span<const std::string_view> variables);

  // `values` holds the template variables; `evolving` names the one that is replaced by each new
  // text. Throws if no evolution made a text.
  Evolved Run(Json values, std::string_view evolving, RowContext& context) const;

  // Of `evolving`: what is likely a mistake in the templates.
  std::vector<std::string> Warnings(std::string_view evolving) const;

 private:
  std::vector<TaskPrompt> prompts_;
  std::vector<std::string> names_;  // of the prompts, as a parameter
  int64_t num_evolutions_;
};

// The parameters of both tasks, before those of the prompt.
std::vector<ParamSpec> EvolutionParams(std::string_view include_original_name);

// The output columns: a list of texts under `plural` if they are stored, else the last one under
// `singular`.
std::string EvolvedColumn(const Params& params, std::string_view singular, std::string_view plural);

}  // namespace retort
