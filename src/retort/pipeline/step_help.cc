#include "retort/pipeline/step_help.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "retort/pipeline/input_kinds.h"
#include "retort/pipeline/params.h"
#include "retort/pipeline/yaml_node.h"

namespace retort {
namespace {

using Of = StepKey::Of;

constexpr std::array kStepKeys = {
    StepKey{"name", "text, required", "Names the step, and its output file."},
    StepKey{"type", "text, required", "One of those that `retort steps` lists."},
    StepKey{"llm", "text, required", "The name of a model under 'models'.", Of::kModels},
    StepKey{"generation", "map",
            "temperature, top_k, top_p, min_p, max_new_tokens, stop, ignore_eos, seed; unset: as "
            "the model's.",
            Of::kGenerates},
    StepKey{"structured_output", "map",
            "What every answer must be: {format: json, schema: ...}, {format: regex, schema: ...} "
            "or {column: NAME}, each row's own; close: true ends answers within their tokens.",
            Of::kGenerates},
    StepKey{"after", "text or list of texts",
            "The steps whose rows it takes; unset: the step before it in the file.", Of::kRows},
    StepKey{"input_mappings", "map", "From an input's name here to the rows' column.",
            Of::kColumns},
    StepKey{"output_mappings", "map", "From an output's name here to the rows' column.",
            Of::kColumns},
    StepKey{"on_error", "keep|drop|fail, default keep",
            "A row that fails here goes on with null outputs, ends, or stops the run.", Of::kRows},
    StepKey{"use_cache", "true|false, default true", "Look finished work up, and keep it.",
            Of::kModels},
};

std::string_view TypeName(ParamType type) {
  switch (type) {
    case ParamType::kBool:
      return "true|false";
    case ParamType::kInt:
      return "integer";
    case ParamType::kFloat:
      return "number";
    case ParamType::kString:
      return "text";
    case ParamType::kStringList:
      return "list of texts";
    case ParamType::kObject:
      return "map";
    case ParamType::kAny:
      return "any";
  }
  return "any";
}

Params ExampleParams(const StepType& type) {
  const YamlNode example = ParseYaml(type.example, std::string(type.name) + "'s example");
  return MakeParams(type, example.IsNull() ? Json::object() : YamlToJson(example));
}

bool Applies(const StepKey& key, const StepType& type, ModelUse use) {
  switch (key.of) {
    case Of::kAny:
      return true;
    case Of::kModels:
      return use != ModelUse::kNone;
    case Of::kGenerates:
      return use == ModelUse::kGenerate;
    case Of::kColumns:
      return type.kind != StepKind::kJoin;
    case Of::kRows:
      return type.kind != StepKind::kSource;
  }
  return true;
}

std::string Columns(const StepType& type, const Params& params) {
  std::vector<std::string> inputs;
  const auto add = [&](const std::vector<std::string>& names, std::string_view note) {
    for (const std::string& name : names) {
      inputs.push_back(
          fmt::format("{} ({}{})", name, InputKindText(InputKindOf(type, name)), note));
    }
  };
  add(type.inputs(params), "");
  add(type.optional_inputs(params), ", if the row has it");
  const std::vector<std::string> outputs = type.outputs(params);
  const auto list = [](const std::vector<std::string>& names, std::string_view none) {
    return names.empty() ? std::string(none) : fmt::format("{}", fmt::join(names, ", "));
  };
  switch (type.kind) {
    case StepKind::kSource:
      return fmt::format("  outputs: {}\n", list(outputs, "the columns of the data"));
    case StepKind::kJoin:
      return "  inputs: all columns of the branches\n  outputs: their union\n";
    case StepKind::kRow:
      return fmt::format("  inputs: {}\n  outputs: {}, added to the row\n", list(inputs, "none"),
                         list(outputs, "none"));
    case StepKind::kRows:
    case StepKind::kGlobal:
      break;
  }
  return fmt::format("  inputs: {}\n  outputs: {}\n", list(inputs, "any"),
                     outputs.empty() ? "the row's columns, as the parameters say"
                                     : list(outputs, "") + ", added to the rows that stay");
}

std::string Entry(std::string_view name, std::string_view values, std::string_view help) {
  return fmt::format("    {} ({})\n        {}\n", name, values, help);
}

}  // namespace

std::span<const StepKey> StepKeys() { return kStepKeys; }

std::string StepExample(const StepType& type) {
  std::string name;
  for (const char c : type.name) {
    if (c >= 'A' && c <= 'Z' && !name.empty()) name += '_';
    name += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  std::string text = fmt::format("- name: {}\n  type: {}\n", name, type.name);
  if (type.model_use(ExampleParams(type)) != ModelUse::kNone) text += "  llm: writer\n";
  if (type.kind == StepKind::kJoin) text += "  after: [left, right]\n";
  std::istringstream lines{std::string(type.example)};
  for (std::string line; std::getline(lines, line);) text += "  " + line + "\n";
  return text;
}

std::string StepHelp(const StepType& type) {
  const Params params = ExampleParams(type);
  const ModelUse use = type.model_use(params);
  std::string text = fmt::format("{}\n  {}\n{}", type.name, type.summary, Columns(type, params));
  if (!type.params.empty()) text += "  parameters:\n";
  for (const ParamSpec& param : type.params) {
    std::string values(TypeName(param.type));
    if (!param.choices.empty()) values = fmt::format("{}", fmt::join(param.choices, "|"));
    if (param.required) {
      values += ", required";
    } else if (!param.default_value.is_null()) {
      values += ", default " + DumpJson(param.default_value);
    }
    text += Entry(param.name, values, param.help);
  }
  text += "  keys of every such step:\n";
  for (const StepKey& key : StepKeys()) {
    if (Applies(key, type, use)) text += Entry(key.name, key.values, key.help);
  }
  text += "  example (columns above are this one's):\n";
  std::istringstream lines(StepExample(type));
  for (std::string line; std::getline(lines, line);) text += "    " + line + "\n";
  return text;
}

}  // namespace retort
