#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "retort/backend/device.h"

namespace retort {

struct DeviceOptions {
  int num_threads = 0;  // of a device that computes on the host's cores; 0: all it may use
  // A code path of the device, as DispatchLevels names them; empty: RETORT_CPU from the
  // environment, else the best of this machine.
  std::string dispatch_level;
  // A model's first token before the best places for its weights, where the device can: it may go
  // on reading what PackLinear is given, which has to outlive the weights.
  bool pack_late = false;
};

struct DeviceListing {
  DeviceInfo info;
  DeviceMemory memory;
};

// Opens "cpu" or "ref". Throws Error{kNotFound} for another name, {kUnsupported} for a dispatch
// level that this machine lacks, {kInvalid} for options that mean nothing.
std::unique_ptr<Device> OpenDevice(std::string_view name, const DeviceOptions& options = {});

// Names of the devices of this build that can be opened here, the fastest first.
std::vector<std::string> DeviceNames();

// What each device of DeviceNames is, and its memory now.
std::vector<DeviceListing> ListDevices();

// A device's code paths, lowest first, whether this machine has them or not.
struct DispatchLevel {
  std::string name;
  std::string missing;  // empty if it runs here, else why not
};
std::vector<DispatchLevel> DispatchLevels(std::string_view device_name);

}  // namespace retort
