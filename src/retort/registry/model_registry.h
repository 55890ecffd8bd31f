#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "retort/llm/language_model.h"

namespace retort {

// "lazy", "eager", "pinned". Throws Error{kInvalid} with the nearest one for another name.
LoadPolicy ParseLoadPolicy(const std::string& name);

// Opens a model; may take minutes, may throw Error.
using LoadModel = std::function<std::shared_ptr<LanguageModel>()>;

// Tells of a model without loading it; may throw Error. Called as often as somebody asks, from many
// threads.
using IdentifyModel = std::function<std::shared_ptr<const ModelIdentity>()>;

// A model that may be used, by the name that a pipeline or a server gives it.
struct ModelEntry {
  std::string name;
  LoadModel load;
  LoadPolicy policy = LoadPolicy::kLazy;
  std::chrono::milliseconds keep_alive = std::chrono::minutes(5);
  IdentifyModel identify = {};  // unset: it must be loaded to be known
};

struct ModelStatus {
  std::string name;
  LoadPolicy policy = LoadPolicy::kLazy;
  bool is_loaded = false;
  bool is_loading = false;
  int num_handles = 0;   // given out and not dropped yet
  int num_loads = 0;     // that succeeded
  int num_failures = 0;  // that did not
  uint64_t load_ns = 0;  // of the latest load
};

// Which models are loaded in this process. A name is loaded once, however many ask for it and at
// whatever time: who asks during a load waits for it and shares it. If a load fails, all who wait
// get its Error, and the next Acquire tries again. Different names load at the same time.
//
// A handle keeps its model, whatever the registry does; handles may outlive the registry.
// Thread-safe.
class ModelRegistry : public ModelSource {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Clock = std::function<TimePoint()>;

  // Throws Error{kInvalid} for two entries of one name, or one without a load function.
  explicit ModelRegistry(
      std::vector<ModelEntry> entries,
      Clock clock = [] { return std::chrono::steady_clock::now(); });
  ~ModelRegistry() override;

  // Throws Error{kNotFound} with the nearest name, or what the load throws. Blocks during a load.
  std::shared_ptr<LanguageModel> Acquire(const std::string& name) override;
  // Throws Error{kNotFound} likewise, or what the entry's function throws.
  std::shared_ptr<const ModelIdentity> Identify(const std::string& name) override;

  // Loads what is eager or pinned and not loaded yet, one after the other. Throws the first Error,
  // naming the model, after the others were tried.
  void LoadEager();

  // Lets go of models that nobody has had a handle of for their keep_alive. Call it now and then;
  // a keep_alive of 0 needs no call. Returns how many went.
  int UnloadIdle();

  // In the order of the entries.
  std::vector<ModelStatus> status() const;

 private:
  struct State;
  struct Slot;
  Slot& Find(const std::string& name) const;  // with the lock held
  static std::shared_ptr<LanguageModel> Handle(const std::shared_ptr<State>& state, Slot& slot);
  static void Drop(State& state, Slot& slot);

  std::shared_ptr<State> state_;  // the handles' too
};

}  // namespace retort
