#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "retort/backend/device.h"

namespace retort {

struct CpuDeviceOptions {
  int num_threads = 0;  // 0: all cores this process may run on
  // "scalar", "avx2", "avx512", "vnni", "vnni-bf16" or "amx"; empty: RETORT_CPU from the
  // environment, else the fastest of this machine.
  std::string dispatch_level;
  // Linear weights are packed in the steps after the first, which multiplies them as they are
  // stored: a model answers sooner. PackLinear's source has to outlive its weight then, and values
  // that are not finite are refused where they are first read.
  bool pack_late = false;
};

// The host's cores: SIMD and matrix-unit kernels chosen at run time. Throws Error{kUnsupported} for
// a dispatch level this machine lacks, {kInvalid} for a name that is none or a number of threads
// out of range.
std::unique_ptr<Device> OpenCpuDevice(const CpuDeviceOptions& options = {});

// All dispatch levels, lowest first, and whether this machine has them.
struct CpuDispatchLevel {
  std::string_view name;
  bool is_available = false;
};
std::vector<CpuDispatchLevel> CpuDispatchLevels();

}  // namespace retort
