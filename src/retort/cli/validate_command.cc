#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include "retort/base/log.h"
#include "retort/cli/command_list.h"
#include "retort/cli/model_opening.h"
#include "retort/cli/step_types.h"
#include "retort/cli/table.h"
#include "retort/pipeline/graph.h"

namespace retort {

std::function<int()> AddValidateCommand(CLI::App& app) {
  struct Options {
    std::string file;
    ConfigOverrides set;
  };
  auto options = std::make_shared<Options>();
  app.add_option("pipeline", options->file, "The pipeline file")->required();
  app.add_option("--set", options->set, "STEP.PARAM=VALUE, models.NAME.KEY=VALUE or seed=VALUE")
      ->allow_extra_args(false);
  return [options] {
    const std::vector<StepType> types = AllStepTypes();
    std::vector<Problem> warnings;
    const Graph graph =
        LoadPipeline(options->file, options->set, types, {.check_model = CheckModel}, &warnings);
    for (const Problem& warning : warnings) LogWarning("{}", PlacedMessage(warning));
    fmt::print("{} is valid: {}, {}\n", options->file, CountOf(graph.steps.size(), "step"),
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
  app.add_option("pipeline", options->file, "The pipeline file")->required();
  app.add_option("--format", options->format, "mermaid or dot")
      ->check(CLI::IsMember({"mermaid", "dot"}))
      ->capture_default_str();
  app.add_option("--set", options->set, "As for `retort run`")->allow_extra_args(false);
  return [options] {
    const std::vector<StepType> types = AllStepTypes();
    const Graph graph = LoadPipeline(options->file, options->set, types, {.peek_sources = false});
    fmt::print("{}", options->format == "dot" ? ToDot(graph) : ToMermaid(graph));
    return 0;
  };
}

}  // namespace retort
