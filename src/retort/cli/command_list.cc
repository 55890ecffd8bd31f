#include "retort/cli/command_list.h"

#include <array>

#include "retort/cli/command.h"

namespace retort {

std::span<const Command> CommandList() {
  static constexpr std::array kCommands = {
      Command{"inspect", "Show what a checkpoint holds", AddInspectCommand},
      Command{"pull", "Fetch a model", AddPullCommand},
      Command{"devices", "List the devices of this machine", AddDevicesCommand},
  };
  return kCommands;
}

}  // namespace retort
