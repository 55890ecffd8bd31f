#include "retort/cli/command_list.h"

#include <array>

#include "retort/cli/command.h"

namespace retort {

std::span<const Command> CommandList() {
  static constexpr std::array kCommands = {
      Command{"run", "Run a pipeline", AddRunCommand},
      Command{"validate", "Check a pipeline file without loading anything", AddValidateCommand},
      Command{"graph", "Print a pipeline as a Mermaid or DOT graph", AddGraphCommand},
      Command{"steps", "List the steps and tasks a pipeline can use, with their parameters",
              AddStepsCommand},
      Command{"generate", "Continue a prompt", AddGenerateCommand},
      Command{"embed", "Embed texts", AddEmbedCommand},
      Command{"grammar", "Check a JSON Schema, a grammar or a regular expression",
              AddGrammarCommand},
      Command{"bench", "Measure how fast a model runs here", AddBenchCommand},
      Command{"inspect", "Show what a checkpoint holds", AddInspectCommand},
      Command{"pull", "Fetch a model", AddPullCommand},
      Command{"devices", "List the devices of this machine", AddDevicesCommand},
      Command{"cache", "List or clean the cache of finished work", AddCacheCommand},
  };
  return kCommands;
}

}  // namespace retort
