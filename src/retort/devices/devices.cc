#include "retort/devices/devices.h"

#include <array>

#include "retort/backend/cpu/cpu_device.h"
#include "retort/backend/ref/ref_device.h"
#include "retort/base/error.h"

namespace retort {
namespace {

struct BackendEntry {
  std::string_view name;
  std::unique_ptr<Device> (*open)(const DeviceOptions& options);
  std::vector<DispatchLevel> (*levels)();
};

std::unique_ptr<Device> OpenRef(const DeviceOptions& options) {
  if (!options.dispatch_level.empty() && options.dispatch_level != "scalar") {
    Throw(ErrorCode::kUnsupported, "device 'ref' has the one dispatch level 'scalar', not '{}'",
          options.dispatch_level);
  }
  return OpenRefDevice();
}

std::vector<DispatchLevel> RefLevels() { return {{"scalar", ""}}; }

std::unique_ptr<Device> OpenCpu(const DeviceOptions& options) {
  return OpenCpuDevice({options.num_threads, options.dispatch_level, options.pack_late});
}

std::vector<DispatchLevel> CpuLevels() {
  std::vector<DispatchLevel> levels;
  for (const CpuDispatchLevel& level : CpuDispatchLevels()) {
    levels.push_back({std::string(level.name),
                      level.is_available ? "" : "this machine's processor does not have it"});
  }
  return levels;
}

// Every backend of this build, the fastest first.
constexpr std::array kBackends = {
    BackendEntry{"cpu", OpenCpu, CpuLevels},
    BackendEntry{"ref", OpenRef, RefLevels},
};

const BackendEntry& Find(std::string_view name) {
  for (const BackendEntry& backend : kBackends) {
    if (backend.name == name) return backend;
  }
  std::string names;
  for (const BackendEntry& backend : kBackends) {
    names += names.empty() ? "" : ", ";
    names += backend.name;
  }
  Throw(ErrorCode::kNotFound, "device '{}' is not in this build; it has: {}", name, names);
}

}  // namespace

std::unique_ptr<Device> OpenDevice(std::string_view name, const DeviceOptions& options) {
  const BackendEntry& backend = Find(name);
  if (options.num_threads < 0) {
    Throw(ErrorCode::kInvalid, "device '{}': {} threads", name, options.num_threads);
  }
  return backend.open(options);
}

std::vector<std::string> DeviceNames() {
  std::vector<std::string> names;
  for (const BackendEntry& backend : kBackends) names.emplace_back(backend.name);
  return names;
}

std::vector<DeviceListing> ListDevices() {
  std::vector<DeviceListing> listings;
  for (const BackendEntry& backend : kBackends) {
    const auto device = backend.open({});
    listings.push_back({device->info(), device->memory()});
  }
  return listings;
}

std::vector<DispatchLevel> DispatchLevels(std::string_view device_name) {
  return Find(device_name).levels();
}

}  // namespace retort
