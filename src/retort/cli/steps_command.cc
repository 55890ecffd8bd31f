#include <CLI/CLI.hpp>
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "retort/base/error.h"
#include "retort/cli/command_list.h"
#include "retort/cli/option_checks.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/step_types.h"

namespace retort {
namespace {

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

// With its parameters as they are if none is given.
bool Generates(const StepType& type) {
  Json values = Json::object();
  for (const ParamSpec& param : type.params) values[std::string(param.name)] = param.default_value;
  return type.model_use(Params(std::move(values))) == ModelUse::kGenerate;
}

void PrintStep(const StepType& type, bool params) {
  Print("{}\n  {}\n", type.name, type.summary);
  if (!params) return;
  for (const ParamSpec& param : type.params) {
    std::string kind(TypeName(param.type));
    if (!param.choices.empty()) kind = fmt::format("{}", fmt::join(param.choices, "|"));
    std::string value;
    if (param.required) {
      value = ", required";
    } else if (!param.default_value.is_null()) {
      value = ", default " + DumpJson(param.default_value);
    }
    Print("    {} ({}{})\n        {}\n", param.name, kind, value, param.help);
  }
  if (!Generates(type)) return;
  Print(
      "  beside type and parameters, as it generates:\n"
      "    structured_output (map)\n"
      "        What every answer must be: {{format: json, schema: ...}}, {{format: regex, schema:\n"
      "        ...}} or {{column: NAME}}, each row's own; close: true ends answers within their "
      "tokens.\n");
}

}  // namespace

std::function<int()> AddStepsCommand(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  app.add_option("type", *name, "One of them, with its parameters")->check(NotEmpty());
  return [name] {
    const std::vector<StepType> types = AllStepTypes();
    if (name->empty()) {
      for (const StepType& type : types) PrintStep(type, false);
      return 0;
    }
    std::vector<std::string_view> names;
    for (const StepType& type : types) {
      if (type.name == *name) {
        PrintStep(type, true);
        return 0;
      }
      names.push_back(type.name);
    }
    const std::string nearest = NearestName(*name, names);
    Throw(ErrorCode::kNotFound, "there is no step type '{}'{}", *name,
          nearest.empty() ? "; `retort steps` lists them" : ": did you mean '" + nearest + "'?");
  };
}

}  // namespace retort
