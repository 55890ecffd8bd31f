#include "retort/tasks/evolution.h"

#include "retort/base/error.h"

namespace retort {

Evolution::Evolution(const Params& params, std::span<const Mutation> defaults,
                     std::span<const std::string_view> variables)
    : num_evolutions_(params.Int("num_evolutions")) {
  const Json& own = params.At("mutation_templates");
  if (own.is_null()) {
    for (const Mutation& mutation : defaults) {
      prompts_.emplace_back(mutation.prompt, mutation.name, variables, params);
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
    prompts_.emplace_back(source.get_ref<const std::string&>(), "mutation_templates." + name,
                          variables, params);
  }
}

std::vector<std::string> Evolution::Run(Json values, std::string_view evolving,
                                        RowContext& context) const {
  std::vector<std::string> texts = {values.at(evolving).get<std::string>()};
  for (int64_t i = 0; i < num_evolutions_; ++i) {
    const size_t drawn = context.Random(static_cast<uint64_t>(i)) % prompts_.size();
    std::vector<Prompt> prompts = {prompts_[drawn].Render(values, context.stop())};
    const Completion completion = context.Generate(std::move(prompts)).front();
    context.KeepRaw(completion.text);
    texts.push_back(RequireText(completion.text, "rewritten text", context));
    values[std::string(evolving)] = texts.back();
  }
  return texts;
}

std::vector<ParamSpec> EvolutionParams(std::string_view include_original_name) {
  return {{.name = "num_evolutions",
           .type = ParamType::kInt,
           .required = true,
           .min = 1,
           .max = 100,
           .help = "Rewrites, each of the text before it."},
          {.name = "store_evolutions",
           .type = ParamType::kBool,
           .default_value = false,
           .help = "Keep every rewrite, as a list, not only the last."},
          {.name = include_original_name,
           .type = ParamType::kBool,
           .default_value = false,
           .help = "With store_evolutions: the list begins with the original."},
          {.name = "mutation_templates",
           .type = ParamType::kAny,
           .help = "Map from name to Jinja template: the rewrites to draw from, instead of the "
                   "built-in ones."}};
}

std::string EvolvedColumn(const Params& params, std::string_view singular,
                          std::string_view plural) {
  return std::string(params.Bool("store_evolutions") ? plural : singular);
}

}  // namespace retort
