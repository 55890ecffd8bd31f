#include "retort/registry/model_registry.h"

#include <array>
#include <deque>
#include <future>
#include <mutex>
#include <optional>
#include <utility>

#include "retort/base/error.h"
#include "retort/base/json.h"

namespace retort {

LoadPolicy ParseLoadPolicy(const std::string& name) {
  static constexpr std::array<std::string_view, 3> kNames = {"lazy", "eager", "pinned"};
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) return static_cast<LoadPolicy>(i);
  }
  Throw(ErrorCode::kInvalid, "load policy '{}' is not one of lazy, eager, pinned; nearest: '{}'",
        name, NearestName(name, kNames));
}

struct ModelRegistry::Slot {
  ModelEntry entry;
  std::shared_ptr<LanguageModel> model;  // while it is loaded
  // While it is being loaded: done when the attempt is over, with its Error if it failed.
  std::optional<std::shared_future<std::optional<Error>>> attempt;
  TimePoint idle_since;  // if there are no handles
  ModelStatus status;
};

struct ModelRegistry::State {
  std::mutex mutex;
  std::deque<Slot> slots;  // do not move
  Clock clock;
};

ModelRegistry::ModelRegistry(std::vector<ModelEntry> entries, Clock clock)
    : state_(std::make_shared<State>()) {
  state_->clock = std::move(clock);
  for (ModelEntry& entry : entries) {
    if (!entry.load) Throw(ErrorCode::kInvalid, "model '{}' has nothing to load it", entry.name);
    for (const Slot& other : state_->slots) {
      if (other.entry.name == entry.name) {
        Throw(ErrorCode::kInvalid, "model '{}' is named twice", entry.name);
      }
    }
    Slot& slot = state_->slots.emplace_back();
    slot.status.name = entry.name;
    slot.status.policy = entry.policy;
    slot.entry = std::move(entry);
  }
}

ModelRegistry::~ModelRegistry() {
  std::vector<std::shared_ptr<LanguageModel>> dropped;  // destroyed without the lock
  std::lock_guard lock(state_->mutex);
  for (Slot& slot : state_->slots) dropped.push_back(std::exchange(slot.model, nullptr));
}

// Called with the lock held and the model loaded.
std::shared_ptr<LanguageModel> ModelRegistry::Handle(const std::shared_ptr<State>& state,
                                                     Slot& slot) {
  ++slot.status.num_handles;
  LanguageModel* raw = slot.model.get();
  return {raw, [state, &slot, model = slot.model](LanguageModel*) mutable {
            Drop(*state, slot);
            model.reset();
          }};
}

void ModelRegistry::Drop(State& state, Slot& slot) {
  std::shared_ptr<LanguageModel> dropped;  // destroyed without the lock
  std::lock_guard lock(state.mutex);
  if (--slot.status.num_handles > 0) return;
  slot.idle_since = state.clock();
  if (slot.entry.policy != LoadPolicy::kPinned && slot.entry.keep_alive.count() <= 0) {
    dropped = std::exchange(slot.model, nullptr);
  }
}

ModelRegistry::Slot& ModelRegistry::Find(const std::string& name) const {
  std::vector<std::string> names;
  for (Slot& one : state_->slots) {
    if (one.entry.name == name) return one;
    names.push_back(one.entry.name);
  }
  Throw(ErrorCode::kNotFound, "there is no model '{}'; nearest: '{}'", name,
        NearestName(name, names));
}

std::shared_ptr<const ModelIdentity> ModelRegistry::Identify(const std::string& name) {
  IdentifyModel identify;
  {
    const std::lock_guard lock(state_->mutex);
    identify = Find(name).entry.identify;
  }
  return identify ? identify() : Acquire(name);
}

std::shared_ptr<LanguageModel> ModelRegistry::Acquire(const std::string& name) {
  std::unique_lock lock(state_->mutex);
  Slot* slot = &Find(name);
  while (slot->model == nullptr) {
    if (slot->attempt) {
      const std::shared_future<std::optional<Error>> attempt = *slot->attempt;
      lock.unlock();
      if (const std::optional<Error>& error = attempt.get()) throw *error;
      lock.lock();
      continue;  // it is there, unless all who waited were so slow that it was let go again
    }
    std::promise<std::optional<Error>> promise;
    slot->attempt = promise.get_future().share();
    lock.unlock();
    std::shared_ptr<LanguageModel> model;
    std::optional<Error> error;
    const TimePoint begin = state_->clock();
    try {
      model = slot->entry.load();
      if (model == nullptr) Throw(ErrorCode::kInternal, "model '{}' was loaded as nothing", name);
    } catch (...) {
      error = CurrentError();
    }
    lock.lock();
    slot->attempt.reset();
    if (error) {
      ++slot->status.num_failures;
      promise.set_value(error);
      throw *error;
    }
    ++slot->status.num_loads;
    slot->status.load_ns = static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(state_->clock() - begin).count());
    slot->model = std::move(model);
    slot->idle_since = state_->clock();
    promise.set_value(std::nullopt);
  }
  return Handle(state_, *slot);
}

void ModelRegistry::LoadEager() {
  std::vector<std::string> names;
  {
    std::lock_guard lock(state_->mutex);
    for (const Slot& slot : state_->slots) {
      if (slot.entry.policy != LoadPolicy::kLazy) names.push_back(slot.entry.name);
    }
  }
  std::optional<Error> first;
  for (const std::string& name : names) {
    try {
      Acquire(name);
    } catch (...) {
      const Error error = CurrentError();
      if (!first) first = Error(error.code(), "model '" + name + "': " + error.message());
    }
  }
  if (first) throw *first;
}

int ModelRegistry::UnloadIdle() {
  std::vector<std::shared_ptr<LanguageModel>> dropped;  // destroyed without the lock
  std::lock_guard lock(state_->mutex);
  const TimePoint now = state_->clock();
  for (Slot& slot : state_->slots) {
    if (slot.model == nullptr || slot.status.num_handles > 0) continue;
    if (slot.entry.policy == LoadPolicy::kPinned) continue;
    if (now - slot.idle_since >= slot.entry.keep_alive) {
      dropped.push_back(std::exchange(slot.model, nullptr));
    }
  }
  return static_cast<int>(dropped.size());
}

std::vector<ModelStatus> ModelRegistry::status() const {
  std::lock_guard lock(state_->mutex);
  std::vector<ModelStatus> all;
  for (const Slot& slot : state_->slots) {
    all.push_back(slot.status);
    all.back().is_loaded = slot.model != nullptr;
    all.back().is_loading = slot.attempt.has_value();
  }
  return all;
}

}  // namespace retort
