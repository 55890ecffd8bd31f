#include "retort/pipeline/requests_in_flight.h"

namespace retort {

bool RequestsInFlight::Join(const LineageKey& key, Told told) {
  std::lock_guard lock(mutex_);
  const auto [found, first] = open_.try_emplace(key);
  if (!first) found->second.push_back(std::move(told));
  return first;
}

void RequestsInFlight::Tell(const LineageKey& key, const Response& response,
                            const Error* ledger_error) {
  std::vector<Told> waiting;
  {
    std::lock_guard lock(mutex_);
    const auto found = open_.find(key);
    waiting = std::move(found->second);
    open_.erase(found);
  }
  for (const Told& told : waiting) told(response, ledger_error);
}

}  // namespace retort
