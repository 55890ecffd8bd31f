#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>
#include <unordered_map>

#include "retort/grammar/constraint.h"

namespace retort {

struct ConstraintCache::State {
  struct Slot {
    std::shared_ptr<const Constraint> constraint;
    std::exception_ptr error;
    bool done = false;
    std::list<std::string>::iterator age;
  };
  std::shared_ptr<const grammar::Vocabulary> vocabulary;
  size_t capacity = 0;
  uint64_t bytes_max = 0;
  mutable std::mutex mutex;
  std::condition_variable ready;
  std::unordered_map<std::string, std::shared_ptr<Slot>> slots;
  std::list<std::string> ages;  // newest first

  // Forgets the oldest but `kept` until the rest is within the limits. Those still being compiled
  // stay.
  void Shrink(const Slot& kept);
};

void ConstraintCache::State::Shrink(const Slot& kept) {
  uint64_t bytes = 0;
  for (const auto& [key, slot] : slots) {
    if (slot->done && slot->constraint != nullptr) bytes += slot->constraint->memory_bytes();
  }
  for (auto age = ages.end();
       age != ages.begin() && (slots.size() > capacity || bytes > bytes_max);) {
    --age;
    const auto it = slots.find(*age);
    const Slot& slot = *it->second;
    if (!slot.done || &slot == &kept) continue;
    bytes -= std::min(bytes, slot.constraint->memory_bytes());
    slots.erase(it);
    age = ages.erase(age);
  }
}

ConstraintCache::ConstraintCache(std::shared_ptr<const grammar::Vocabulary> vocabulary,
                                 size_t capacity, uint64_t bytes_max)
    : state_(std::make_unique<State>()) {
  state_->vocabulary = std::move(vocabulary);
  state_->capacity = std::max<size_t>(capacity, 1);
  state_->bytes_max = bytes_max;
}

ConstraintCache::~ConstraintCache() = default;

size_t ConstraintCache::size() const {
  const std::lock_guard lock(state_->mutex);
  return state_->slots.size();
}

std::shared_ptr<const Constraint> ConstraintCache::Get(
    const std::string& key, const std::function<std::shared_ptr<const Grammar>()>& compile) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  if (const auto it = state.slots.find(key); it != state.slots.end()) {
    const auto slot = it->second;
    state.ages.splice(state.ages.begin(), state.ages, slot->age);
    state.ready.wait(lock, [&] { return slot->done; });
    if (slot->error) std::rethrow_exception(slot->error);
    state.Shrink(*slot);  // others may have grown since
    return slot->constraint;
  }
  const auto slot = std::make_shared<State::Slot>();
  state.ages.push_front(key);
  slot->age = state.ages.begin();
  state.slots.emplace(key, slot);
  lock.unlock();
  try {
    slot->constraint = std::make_shared<const Constraint>(compile(), state.vocabulary);
  } catch (...) {
    slot->error = std::current_exception();
  }
  lock.lock();
  slot->done = true;
  state.ready.notify_all();
  if (slot->error) {
    state.ages.erase(slot->age);
    state.slots.erase(key);
    std::rethrow_exception(slot->error);
  }
  state.Shrink(*slot);
  return slot->constraint;
}

}  // namespace retort
