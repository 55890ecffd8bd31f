#include <CLI/CLI.hpp>

#include "retort/base/log.h"
#include "retort/cli/command_list.h"
#include "retort/cli/model_opening.h"
#include "retort/cli/option_checks.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/step_types.h"
#include "retort/cli/table.h"
#include "retort/pipeline/graph.h"

namespace retort {

std::function<int()> AddValidateCommand(CLI::App& app) {
  struct Options {
    std::string file;
    ConfigOverrides set;
    bool strict = false;
  };
  auto options = std::make_shared<Options>();
  app.add_option("pipeline", options->file, "The pipeline file")->required()->transform(IsPath());
  app.add_flag("--strict", options->strict, "Warnings are errors");
  app.add_option("--set", options->set, "STEP.PARAM=VALUE, models.NAME.KEY=VALUE or seed=VALUE")
      ->allow_extra_args(false);
  return [options] {
    const std::vector<StepType> types = AllStepTypes();
    std::vector<Problem> warnings;
    const Graph graph =
        LoadPipeline(options->file, options->set, types,
                     {.strict = options->strict, .check_model = CheckModel}, &warnings);
    for (const Problem& warning : warnings) LogWarning("{}", PlacedMessage(warning));
    Print("{} is valid: {}, {}\n", options->file, CountOf(graph.steps.size(), "step"),
          CountOf(graph.UsedModels().size(), "model"));
    return 0;
  };
}

std::function<int()> AddGraphCommand(CLI::App& app) {
  struct Options {
    std::string file;
    std::string format = "mermaid";
    ConfigOverrides set;
  };
  auto options = std::make_shared<Options>();
  app.add_option("pipeline", options->file, "The pipeline file")->required()->transform(IsPath());
  app.add_option("--format", options->format, "mermaid or dot")
      ->check(CLI::IsMember({"mermaid", "dot"}))
      ->capture_default_str();
  app.add_option("--set", options->set, "As for `retort run`")->allow_extra_args(false);
  return [options] {
    const std::vector<StepType> types = AllStepTypes();
    const Graph graph = LoadPipeline(options->file, options->set, types, {.peek_sources = false});
    PrintResult(options->format == "dot" ? ToDot(graph) : ToMermaid(graph));
    return 0;
  };
}

}  // namespace retort
