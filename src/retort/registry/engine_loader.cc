#include "retort/registry/engine_loader.h"

#include <utility>

#include "retort/hub/hub.h"

namespace retort {

LoadModel EngineLoader(EngineOptions options, std::filesystem::path home) {
  return [options = std::move(options), home = std::move(home)] {
    EngineOptions resolved = options;
    if (resolved.name.empty()) resolved.name = options.path.string();
    resolved.path = ResolveModel(options.path.string(), home);
    return Engine::Open(resolved);
  };
}

}  // namespace retort
