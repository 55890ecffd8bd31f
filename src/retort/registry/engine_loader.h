#pragma once

#include <filesystem>

#include "retort/engine/engine.h"
#include "retort/registry/model_registry.h"

namespace retort {

// Loads an engine. `options.path` is a path or the name of a pulled model: it is looked up under
// `home` (see DefaultHome) when it is loaded.
LoadModel EngineLoader(EngineOptions options, std::filesystem::path home);

}  // namespace retort
