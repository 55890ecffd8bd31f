#include "retort/pipeline/router.h"

#include <algorithm>

namespace retort {

// One call of Route(), under the family's lock.
struct Router::Delivery {
  Family& family;
  std::vector<Task> tasks;
  std::vector<std::shared_ptr<JoinGroup>> touched;  // groups that may have become full
};

Router::Router(const Graph& graph) : graph_(graph) {
  const size_t num_steps = graph.steps.size();
  rank_.resize(num_steps);
  joins_of_.resize(num_steps);
  reaches_join_.assign(num_steps, std::vector<bool>(num_steps, false));
  for (size_t i = 0; i < graph.order.size(); ++i) rank_[graph.order[i]] = i;
  for (size_t i = 0; i < num_steps; ++i) {
    if (graph.steps[i].fork) joins_of_[*graph.steps[i].fork].push_back(i);
  }
  for (auto at = graph.order.rbegin(); at != graph.order.rend(); ++at) {
    const GraphStep& step = graph.steps[*at];
    if (step.kind() == StepKind::kGlobal) continue;  // rows that come out are a new family's
    std::vector<bool>& reaches = reaches_join_[*at];
    if (step.kind() == StepKind::kJoin) reaches[*at] = true;
    for (const size_t next : step.next) {
      for (size_t join = 0; join < num_steps; ++join) {
        if (reaches_join_[next][join]) reaches[join] = true;
      }
    }
  }
}

void Router::Deliver(size_t from, size_t to, Item item, Delivery& delivery) const {
  const GraphStep& target = graph_.steps[to];
  if (target.kind() == StepKind::kGlobal) {
    delivery.family.global_inputs.push_back(
        {to, std::move(item.path), std::move(item.row), item.key, item.failed});
    return;
  }
  ++delivery.family.num_pending;
  for (const auto& group : item.groups) ++group->num_pending;
  if (target.kind() != StepKind::kJoin) {
    delivery.tasks.push_back({to, rank_[to], std::move(item), nullptr});
    return;
  }
  // Waits in its group; for the groups around it, it is still under way.
  const auto own = std::find_if(item.groups.begin(), item.groups.end(),
                                [&](const auto& group) { return group->join == to; });
  const std::shared_ptr<JoinGroup> group = *own;
  item.groups.erase(own);
  --group->num_pending;
  delivery.touched.push_back(group);
  const auto branch = std::find(target.after.begin(), target.after.end(), from);
  group->arrived[static_cast<size_t>(branch - target.after.begin())].push_back(std::move(item));
}

void Router::Release(const Item& item, Delivery& delivery) const {
  --delivery.family.num_pending;
  for (const auto& group : item.groups) {
    --group->num_pending;
    delivery.touched.push_back(group);
  }
}

void Router::RunFullJoins(Delivery& delivery) const {
  for (const auto& group : delivery.touched) {
    if (group->num_pending > 0 || group->arrived.empty()) continue;
    const bool any = std::any_of(group->arrived.begin(), group->arrived.end(),
                                 [](const auto& items) { return !items.empty(); });
    if (!any) continue;
    Task task;
    task.step = group->join;
    task.rank = rank_[group->join];
    // Enough of an item to find its place in the queue; the rows stay in the group.
    for (const auto& items : group->arrived) {
      if (items.empty()) continue;
      task.item.family = items.front().family;
      task.item.path = items.front().path;
      break;
    }
    task.group = std::make_shared<JoinGroup>();
    task.group->join = group->join;
    task.group->arrived = std::move(group->arrived);
    group->arrived.clear();  // it runs once
    delivery.tasks.push_back(std::move(task));
  }
}

std::vector<Task> Router::Route(size_t step, std::vector<Item> items, std::vector<Item> results,
                                bool& family_ended) const {
  const std::shared_ptr<Family> family = items.front().family;
  const std::vector<std::shared_ptr<JoinGroup>> outer = items.front().groups;
  const std::vector<size_t>& next = graph_.steps[step].next;
  std::vector<std::string> lines;
  if (next.empty()) {
    for (const Item& result : results) lines.push_back(DumpJson(result.row) + "\n");
  }
  std::lock_guard lock(family->mutex);
  Delivery delivery{*family, {}, {}};
  for (size_t i = 0; i < results.size(); ++i) {
    Item& result = results[i];
    if (next.empty()) {
      family->lines.push_back({step, std::move(result.path), std::move(lines[i])});
      continue;
    }
    std::vector<std::shared_ptr<JoinGroup>> groups = outer;
    for (const size_t join : joins_of_[step]) {
      groups.push_back(std::make_shared<JoinGroup>());
      groups.back()->join = join;
      groups.back()->arrived.resize(graph_.steps[join].after.size());
    }
    for (size_t n = 0; n < next.size(); ++n) {
      Item copy;
      if (n + 1 < next.size()) {
        copy = result;  // NOLINT(bugprone-use-after-move): only the last round moves it
      } else {
        copy = std::move(result);
      }
      for (const auto& group : groups) {
        if (reaches_join_[next[n]][group->join]) copy.groups.push_back(group);
      }
      Deliver(step, next[n], std::move(copy), delivery);
    }
  }
  for (const Item& item : items) Release(item, delivery);
  RunFullJoins(delivery);
  family_ended = family->num_pending == 0;
  return std::move(delivery.tasks);
}

}  // namespace retort
