#include <algorithm>
#include <chrono>
#include <utility>

#include "retort/base/log.h"
#include "retort/engine/engine_impl.h"

namespace retort {

void Engine::Impl::Loop() {
  try {
    while (TakeInbox()) {
      DropCancelled();
      const StepPlan plan = scheduler_->Plan(std::chrono::steady_clock::now());
      for (const uint64_t id : plan.expired) {
        Finish(id, Response{Error(ErrorCode::kDeadline, "the request's deadline has passed"), {}});
      }
      if (!plan.items.empty()) {
        RunStep(plan);
      } else if (plan.expired.empty() && !scheduler_->idle()) {
        Throw(ErrorCode::kInternal, "nothing to compute for {} running and {} waiting requests",
              scheduler_->num_running(), scheduler_->num_waiting());
      }
      DeliverFinished();
    }
    EndAll(Error(ErrorCode::kCancelled, "the model is being unloaded"));
  } catch (...) {
    const Error error = CurrentError();
    LogLine(LogLevel::kError,
            fmt::format("{}: the engine has stopped: {}", name_, error.message()));
    {
      std::lock_guard lock(mutex_);
      death_ = error;
    }
    EndAll(Error(ErrorCode::kUnavailable,
                 fmt::format("model '{}' has stopped: {}", name_, error.message())));
  }
}

// Waits while there is nothing to do. False: the engine is to stop.
bool Engine::Impl::TakeInbox() {
  std::vector<std::unique_ptr<ActiveRequest>> taken;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return stopping_ || !inbox_.empty() || !scheduler_->idle(); });
    if (stopping_) return false;
    taken.swap(inbox_);
  }
  for (std::unique_ptr<ActiveRequest>& request : taken) {
    const uint64_t id = request->id;
    Sequence sequence = std::move(request->waiting);
    ActiveRequest& active = *active_.emplace(id, std::move(request)).first->second;
    try {
      if (active.finished) {
        FinishGeneration(active, std::get<GenerationWork>(active.work));
      } else {
        active.sequence = scheduler_->Add(std::move(sequence));
      }
    } catch (...) {
      Finish(id, Response{CurrentError(), {}});
    }
  }
  return true;
}

void Engine::Impl::DropCancelled() {
  std::vector<uint64_t> cancelled;
  for (const auto& [id, request] : active_) {
    if (request->stop.stop_requested()) cancelled.push_back(id);
  }
  for (const uint64_t id : cancelled) {
    Finish(id, Response{Error(ErrorCode::kCancelled, "the request was cancelled"), {}});
  }
}

ActiveRequest& Engine::Impl::At(uint64_t id) {
  const auto found = active_.find(id);
  if (found == active_.end()) Throw(ErrorCode::kInternal, "request {} is not active", id);
  return *found->second;
}

void Engine::Impl::RunStep(const StepPlan& plan) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<StepTask> tasks;
  for (const StepItem& item : plan.items) {
    ActiveRequest& request = At(item.sequence->id);
    StepTask task;
    task.item = item;
    task.work = &request.work;
    task.prompt_tokens = request.prompt_tokens;
    tasks.push_back(std::move(task));
  }
  std::optional<Error> fault;
  try {
    BeginStep(plan);
    runner_->Run(tasks);
  } catch (...) {
    // Whose fault it is cannot be told; what these sequences' pages hold is unknown.
    fault = CurrentError();
    LogWarning("{}: a step of {} requests failed: {}", name_, plan.items.size(), fault->message());
    for (const StepItem& item : plan.items) Finish(item.sequence->id, Response{*fault, {}});
    tasks.clear();
  }
  for (StepTask& task : tasks) {
    const uint64_t id = task.item.sequence->id;
    try {
      Apply(task);
    } catch (...) {
      Finish(id, Response{CurrentError(), {}});
    }
  }
  const auto busy = std::chrono::steady_clock::now() - begin;
  CountStep(plan, static_cast<uint64_t>(
                      std::chrono::duration_cast<std::chrono::nanoseconds>(busy).count()));
  num_failed_steps_ = fault ? num_failed_steps_ + 1 : 0;
  if (num_failed_steps_ >= kFailedStepsMax) {
    Throw(fault->code(), "{} steps in a row failed, the last with: {}", num_failed_steps_,
          fault->message());
  }
}

void Engine::Impl::BeginStep(const StepPlan& plan) {
  for (const Sequence* sequence : plan.preempted) {
    auto* work = std::get_if<EmbeddingWork>(&At(sequence->id).work);
    if (work != nullptr && work->accumulator >= 0) {
      runner_->ReturnAccumulator(std::exchange(work->accumulator, -1));
    }
  }
  for (const StepItem& item : plan.items) {
    ActiveRequest& request = At(item.sequence->id);
    if (!request.started) {
      request.started = true;
      request.usage.cached_tokens = static_cast<int>(item.sequence->num_cached);
      counters_.prompt_tokens += static_cast<uint64_t>(request.prompt_tokens);
      counters_.cached_tokens += static_cast<uint64_t>(item.sequence->num_cached);
      --num_waiting_;
      log_.Start(request.name, request.tag, request.prompt_tokens);
    }
    auto* work = std::get_if<EmbeddingWork>(&request.work);
    if (work != nullptr && work->is_mean() && work->accumulator < 0) {
      work->accumulator = runner_->TakeAccumulator();
    }
  }
  FlushLog();
}

void Engine::Impl::Apply(StepTask& task) {
  ActiveRequest& request = At(task.item.sequence->id);
  if (task.failure) {
    Finish(request.id, Response{*task.failure, {}});
    return;
  }
  scheduler_->Complete(task.item);
  if (auto* generation = std::get_if<GenerationWork>(&request.work)) {
    if (task.num_outputs > 0) ApplyGeneration(request, *generation, task);
  } else if (auto* scoring = std::get_if<ScoringWork>(&request.work)) {
    ApplyScoring(request, *scoring, task);
  } else if (!task.hidden.empty()) {
    const auto& embedding = std::get<EmbeddingWork>(request.work);
    Finish(request.id,
           Response{embedding.Finish(task.hidden, request.prompt_tokens), request.usage});
  }
}

void Engine::Impl::ApplyGeneration(ActiveRequest& request, GenerationWork& work, StepTask& task) {
  Sequence& sequence = *request.sequence;
  const auto num_before = static_cast<size_t>(work.num_tokens());
  if (work.Accept(task.sampled) || work.AcceptForced()) {
    FinishGeneration(request, work);
    return;
  }
  const auto added = work.token_ids().subspan(num_before);
  sequence.tokens.insert(sequence.tokens.end(), added.begin(), added.end());
  // Forced tokens are computed together, like a prompt; the last one's state draws the next.
  sequence.first_output = sequence.num_tokens() - 1;
  CountTokens(request, work);
}

void Engine::Impl::FinishGeneration(ActiveRequest& request, GenerationWork& work) {
  CountTokens(request, work);
  Finish(request.id, Response{work.TakeResult(), request.usage});
}

// Hands on the text that is new, too.
void Engine::Impl::CountTokens(ActiveRequest& request, GenerationWork& work) {
  counters_.completion_tokens +=
      static_cast<uint64_t>(work.num_tokens() - request.usage.completion_tokens);
  request.usage.completion_tokens = work.num_tokens();
  if (!request.handler.on_text) return;
  const std::string delta = work.TakeDelta();
  if (!delta.empty()) request.handler.on_text(delta);
}

void Engine::Impl::ApplyScoring(ActiveRequest& request, ScoringWork& work, const StepTask& task) {
  Sequence& sequence = *request.sequence;
  const std::span<const float> logprobs(task.logprobs);
  for (int64_t i = 0; i < task.num_outputs; ++i) {
    const auto begin = static_cast<size_t>(task.logprobs_begin[static_cast<size_t>(i)]);
    const auto end = static_cast<size_t>(task.logprobs_begin[static_cast<size_t>(i) + 1]);
    work.Accept(task.item.end - task.num_outputs + i, logprobs.subspan(begin, end - begin));
  }
  if (task.num_outputs > 0) sequence.first_output = task.item.end;  // answered for good
  if (task.item.end < sequence.num_tokens()) return;
  const std::vector<int32_t> next = work.NextTokens();
  if (next.empty()) {
    Finish(request.id, Response{work.TakeResult(), request.usage});
    return;
  }
  scheduler_->Rewind(sequence, request.prompt_tokens);
  sequence.first_output = request.prompt_tokens;
  sequence.tokens.insert(sequence.tokens.end(), next.begin(), next.end());
}

void Engine::Impl::CountStep(const StepPlan& plan, uint64_t busy_ns) {
  ++counters_.num_steps;
  counters_.num_step_sequences += plan.items.size();
  counters_.batch_tokens += static_cast<uint64_t>(plan.num_tokens);
  counters_.busy_ns += busy_ns;
  counters_.num_preemptions = scheduler_->num_preemptions();
  StepPoint point;
  point.num_steps = counters_.num_steps;
  point.num_step_sequences = counters_.num_step_sequences;
  point.batch_tokens = counters_.batch_tokens;
  point.completion_tokens = counters_.completion_tokens;
  point.busy_ns = counters_.busy_ns;
  std::lock_guard lock(mutex_);
  series_.Add(point);
}

void Engine::Impl::Finish(uint64_t id, Response response) {
  ActiveRequest& request = At(id);
  scheduler_->Remove(id);
  if (auto* work = std::get_if<EmbeddingWork>(&request.work)) {
    if (work->accumulator >= 0) runner_->ReturnAccumulator(work->accumulator);
  }
  if (!response.ok()) {
    ++counters_.num_failed;
    response.usage = request.usage;
    // Its pages may be the reason: nobody is to find them.
    if (std::get<Error>(response.result).code() == ErrorCode::kCorrupt) pool_->Clear();
  }
  if (request.started) {
    log_.Done(request.name, request.tag, response);
  } else {
    --num_waiting_;
  }
  finished_.emplace_back(std::move(request.handler), std::move(response));
  active_.erase(id);
}

void Engine::Impl::DeliverFinished() {
  FlushLog();  // what a handler makes durable must not be ahead of the log
  std::vector<std::pair<ResponseHandler, Response>> finished;
  finished.swap(finished_);
  for (auto& [handler, response] : finished) Deliver(handler, std::move(response));
}

void Engine::Impl::FlushLog() {
  try {
    log_.Flush();
  } catch (...) {
    if (!log_failed_) LogWarning("{}: {}", name_, CurrentError().message());
    log_failed_ = true;
  }
}

void Engine::Impl::EndAll(const Error& error) {
  std::vector<std::unique_ptr<ActiveRequest>> unseen;
  {
    std::lock_guard lock(mutex_);
    unseen.swap(inbox_);
  }
  DeliverFinished();
  for (auto& [id, request] : active_) {
    ++counters_.num_failed;
    if (request->started) log_.Done(request->name, request->tag, Response{error, {}});
  }
  FlushLog();
  for (auto& [id, request] : active_) Deliver(request->handler, Response{error, request->usage});
  active_.clear();
  for (const std::unique_ptr<ActiveRequest>& request : unseen) {
    ++counters_.num_failed;
    Deliver(request->handler, Response{error, request->usage});
  }
}

}  // namespace retort
