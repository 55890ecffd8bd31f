#include <CLI/CLI.hpp>

#include "retort/cli/command_list.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/table.h"
#include "retort/devices/devices.h"

namespace retort {

std::function<int()> AddDevicesCommand(CLI::App&) {
  return [] {
    Table table({"device", "model", "threads", "memory", "free", "code path"});
    for (const DeviceListing& device : ListDevices()) {
      table.AddRow({device.info.name, device.info.model, std::to_string(device.info.num_threads),
                    FormatBytes(device.memory.total_bytes), FormatBytes(device.memory.free_bytes),
                    device.info.dispatch_level});
    }
    Print("{}", table.Text());
    for (const std::string& name : DeviceNames()) {
      for (const DispatchLevel& level : DispatchLevels(name)) {
        if (level.missing.empty()) {
          Print("{}: code path {} runs here\n", name, level.name);
        } else {
          Print("{}: code path {} does not: {}\n", name, level.name, level.missing);
        }
      }
    }
    return 0;
  };
}

}  // namespace retort
