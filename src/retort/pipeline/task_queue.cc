#include "retort/pipeline/task_queue.h"

#include <algorithm>

namespace retort {

bool TaskQueue::Later(const Task& a, const Task& b) {
  if (a.item.family->number != b.item.family->number) {
    return a.item.family->number > b.item.family->number;
  }
  if (a.rank != b.rank) return a.rank < b.rank;
  return a.item.path > b.item.path;
}

void TaskQueue::Push(Task task) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    heap_.push_back(std::move(task));
    std::push_heap(heap_.begin(), heap_.end(), Later);
  }
  wake_.notify_one();
}

std::optional<Task> TaskQueue::Pop() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return closed_ || !heap_.empty(); });
  if (closed_) return std::nullopt;
  std::pop_heap(heap_.begin(), heap_.end(), Later);
  Task task = std::move(heap_.back());
  heap_.pop_back();
  return task;
}

void TaskQueue::Close() {
  std::vector<Task> dropped;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    dropped.swap(heap_);
  }
  wake_.notify_all();
}

}  // namespace retort
