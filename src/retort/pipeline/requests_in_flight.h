#pragma once

#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "retort/base/error.h"
#include "retort/llm/request.h"
#include "retort/pipeline/lineage.h"

namespace retort {

// Requests to one model that are being answered. Rows with equal questions (greedy, scored or
// embedded texts) share one answer: who comes second waits for it. Thread-safe.
class RequestsInFlight {
 public:
  // Why the answer could not be kept; null if it is.
  using Told = std::function<void(const Response&, const Error* ledger_error)>;

  // True: the caller looks the answer up or asks, and then calls Tell, whatever happens. False:
  // `told` is called once, by another thread; return soon.
  bool Join(const LineageKey& key, Told told);
  // After the answer's commit: who joins later finds it in the ledger.
  void Tell(const LineageKey& key, const Response& response, const Error* ledger_error);

 private:
  std::mutex mutex_;
  std::unordered_map<LineageKey, std::vector<Told>, LineageKeyHash> open_;
};

}  // namespace retort
