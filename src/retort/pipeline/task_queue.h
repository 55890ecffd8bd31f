#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

#include "retort/pipeline/row_flow.h"

namespace retort {

// Tasks that could run now. The oldest family goes first, in it the step furthest on, so that rows
// finish early and few are half done; with all workers busy that is also the order in which they
// reach the model. Bounded by the families in flight. Thread-safe.
class TaskQueue {
 public:
  void Push(Task task);
  // Waits for a task; nothing once the queue is closed.
  std::optional<Task> Pop();
  // Drops what waits and wakes all.
  void Close();

 private:
  static bool Later(const Task& a, const Task& b);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Task> heap_;
  bool closed_ = false;
};

}  // namespace retort
