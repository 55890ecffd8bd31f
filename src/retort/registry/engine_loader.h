#pragma once

#include <filesystem>

#include "retort/engine/engine.h"
#include "retort/registry/model_registry.h"

namespace retort {

// What opens an engine, for a ModelEntry.
struct EngineLoader {
  LoadModel load;
  IdentifyModel identify;
};

// `options.path` is a path or the name of a pulled model: it is looked up under `home` (see
// DefaultHome) at the first use. Its files are opened once: an engine that is unloaded and loaded
// again computes with the bytes that its keys were made of.
EngineLoader MakeEngineLoader(EngineOptions options, std::filesystem::path home);

}  // namespace retort
