#include "retort/tasks/evolution.h"

#include <algorithm>

#include "retort/base/error.h"

namespace retort {

Evolution::Evolution(const Params& params, std::span<const Mutation> defaults,
                     std::span<const std::string_view> variables)
    : num_evolutions_(params.Int("num_evolutions")) {
  const Json& own = params.At("mutation_templates");
  if (own.is_null()) {
    for (const Mutation& mutation : defaults) {
      prompts_.emplace_back(mutation.prompt, mutation.name, variables, params);
      names_.emplace_back(mutation.name);
    }
    return;
  }
  if (!own.is_object() || own.empty()) {
    Throw(ErrorCode::kInvalid,
          "parameter 'mutation_templates' must be a map from name to template, with at least one");
  }
  for (const auto& [name, source] : own.items()) {
    if (!source.is_string()) {
      Throw(ErrorCode::kInvalid, "parameter 'mutation_templates': '{}' is no template but {}", name,
            source.type_name());
    }
    names_.push_back("mutation_templates." + name);
    prompts_.emplace_back(source.get_ref<const std::string&>(), names_.back(), variables, params);
  }
}

Evolved Evolution::Run(Json values, std::string_view evolving, RowContext& context) const {
  Evolved evolved;
  evolved.texts.push_back(values.at(evolving));
  for (int64_t i = 0; i < num_evolutions_; ++i) {
    const size_t drawn = context.Random(static_cast<uint64_t>(i)) % prompts_.size();
    std::vector<Prompt> prompts = {prompts_[drawn].Render(values, context.stop())};
    evolved.answers.push_back(context.GenerateEach(std::move(prompts), nullptr).front());
    context.KeepRaw(evolved.answers.back().completion.text);
    if (const auto text = AnswerText(evolved.answers.back())) values[std::string(evolving)] = *text;
  }
  for (Json& text : AnswerTexts(evolved.answers, "rewritten text", context)) {
    evolved.texts.push_back(std::move(text));
  }
  return evolved;
}

std::vector<std::string> Evolution::Warnings(std::string_view evolving) const {
  std::vector<std::string> warnings;
  for (size_t i = 0; i < prompts_.size(); ++i) {
    for (const std::string& warning : prompts_[i].warnings()) {
      // Each prompt has the one system prompt.
      if (std::find(warnings.begin(), warnings.end(), warning) == warnings.end()) {
        warnings.push_back(warning);
      }
    }
    if (prompts_[i].Uses(evolving)) continue;
    warnings.push_back(fmt::format(
        "parameter '{}' does not use '{}': the model would not see the text that it rewrites",
        names_[i], evolving));
  }
  return warnings;
}

size_t Evolved::Last() const {
  size_t last = texts.size() - 1;
  while (texts[last].is_null()) --last;  // the original is a text
  return last;
}

Json Evolved::Stored(bool store, bool include_original) const {
  if (!store) return texts[Last()];
  return std::vector<Json>(texts.begin() + (include_original ? 0 : 1), texts.end());
}

std::vector<const Answer*> Evolved::StoredAnswers(bool store, bool include_original) const {
  if (!store) return {&answers[Last() - 1]};
  std::vector<const Answer*> stored;
  if (include_original) stored.push_back(nullptr);
  for (const Answer& answer : answers) stored.push_back(&answer);
  return stored;
}

std::vector<ParamSpec> EvolutionParams(std::string_view include_original_name) {
  return WithAnswerParams(
      {{.name = "num_evolutions",
        .type = ParamType::kInt,
        .required = true,
        .min = 1,
        .max = 100,
        .help = "Rewrites, each of the text before it."},
       {.name = "store_evolutions",
        .type = ParamType::kBool,
        .default_value = false,
        .help = "Keep every rewrite, as a list with null for an empty one, not only the last."},
       {.name = include_original_name,
        .type = ParamType::kBool,
        .default_value = false,
        .help = "With store_evolutions: the list begins with the original."},
       {.name = "mutation_templates",
        .type = ParamType::kAny,
        .help = "Map from name to Jinja template: the rewrites to draw from, instead of the "
                "built-in ones."}});
}

std::string EvolvedColumn(const Params& params, std::string_view singular,
                          std::string_view plural) {
  return std::string(params.Bool("store_evolutions") ? plural : singular);
}

}  // namespace retort
