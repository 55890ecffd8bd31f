#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include "retort/base/error.h"
#include "retort/cli/command_list.h"
#include "retort/cli/option_checks.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/step_types.h"
#include "retort/pipeline/step_help.h"

namespace retort {
std::function<int()> AddStepsCommand(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  app.add_option("type", *name, "One of them, with its columns, parameters and an example")
      ->check(NotEmpty());
  return [name] {
    const std::vector<StepType> types = AllStepTypes();
    if (name->empty()) {
      for (const StepType& type : types) Print("{}\n  {}\n", type.name, type.summary);
      return 0;
    }
    std::vector<std::string_view> names;
    for (const StepType& type : types) {
      if (type.name == *name) {
        Print("{}", StepHelp(type));
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
