#pragma once

#include <optional>
#include <vector>

#include "retort/pipeline/graph.h"
#include "retort/pipeline/row_flow.h"

namespace retort {

// Sends what leaves a step to the steps that follow, and keeps count of what is under way, so that
// a join runs when all its branches have come in or ended, and a family ends with its last row.
// Stateless but for the graph; thread-safe.
class Router {
 public:
  explicit Router(const Graph& graph);

  // `results` left `step` in place of `items`, which end with this (one, or all branches of a
  // join). Returns what can run now. `family_ended`: nothing of the family is under way any more.
  std::vector<Task> Route(size_t step, std::vector<Item> items, std::vector<Item> results,
                          bool& family_ended) const;

  size_t rank(size_t step) const { return rank_[step]; }

 private:
  struct Delivery;

  void Deliver(size_t from, size_t to, Item item, Delivery& delivery) const;
  void Release(const Item& item, Delivery& delivery) const;
  void RunFullJoins(Delivery& delivery) const;

  const Graph& graph_;
  std::vector<size_t> rank_;                     // place in the topological order
  std::vector<std::vector<size_t>> joins_of_;    // fork → its joins
  std::vector<std::vector<bool>> reaches_join_;  // [step][join], within one stream
};

}  // namespace retort
