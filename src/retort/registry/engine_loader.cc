#include "retort/registry/engine_loader.h"

#include <memory>
#include <mutex>
#include <utility>

#include "retort/engine/engine_identity.h"
#include "retort/hub/hub.h"

namespace retort {
namespace {

// The files of one model, opened when somebody asks first. Thread-safe.
class EngineFiles {
 public:
  EngineFiles(EngineOptions options, std::filesystem::path home)
      : options_(std::move(options)), home_(std::move(home)) {}

  std::shared_ptr<const EngineIdentity> Identify() {
    const std::lock_guard lock(mutex_);
    if (identity_ == nullptr) {
      EngineOptions resolved = options_;
      if (resolved.name.empty()) resolved.name = options_.path.string();
      resolved.path = ResolveModel(options_.path.string(), home_);
      identity_ = EngineIdentity::Open(resolved);
    }
    return identity_;
  }

 private:
  const EngineOptions options_;
  const std::filesystem::path home_;
  std::mutex mutex_;
  std::shared_ptr<const EngineIdentity> identity_;
};

}  // namespace

EngineLoader MakeEngineLoader(EngineOptions options, std::filesystem::path home) {
  const auto files = std::make_shared<EngineFiles>(std::move(options), std::move(home));
  return {.load = [files] { return Engine::Open(files->Identify()); },
          .identify = [files] { return files->Identify(); }};
}

}  // namespace retort
