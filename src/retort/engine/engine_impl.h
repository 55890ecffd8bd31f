#pragma once

#include <atomic>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "retort/engine/engine.h"
#include "retort/engine/engine_log.h"
#include "retort/engine/kv_pool.h"
#include "retort/engine/model_runner.h"
#include "retort/engine/prompt_encoder.h"
#include "retort/engine/scheduler.h"
#include "retort/engine/work.h"
#include "retort/grammar/constraint.h"

namespace retort {

class Checkpoint;

// A request between Submit and its response.
struct ActiveRequest {
  uint64_t id = 0;  // the engine's own
  std::string name;
  std::string tag;
  std::stop_token stop;
  ResponseHandler handler;
  Work work;
  Sequence waiting;              // until the scheduler takes it
  Sequence* sequence = nullptr;  // the scheduler's
  int64_t prompt_tokens = 0;
  Usage usage;
  bool started = false;   // its start is in the log
  bool finished = false;  // before anything was computed

  explicit ActiveRequest(Work w) : work(std::move(w)) {}
};

class Engine::Impl {
 public:
  Impl(const EngineOptions& options, std::unique_ptr<Device> device);

  // Any thread.
  ModelDescription description() const;
  ModelStats stats() const;
  std::vector<StepPoint> step_points() const;
  std::string RequestKey(const Request& request) const;
  void Submit(Request request, const ResponseHandler& handler);
  void Stop();

  // The engine's thread.
  void Loop();

 private:
  struct Counters {
    std::atomic<uint64_t> num_requests{0}, num_failed{0}, prompt_tokens{0}, cached_tokens{0};
    std::atomic<uint64_t> completion_tokens{0}, num_steps{0}, num_step_sequences{0}, busy_ns{0};
    std::atomic<uint64_t> num_preemptions{0}, batch_tokens{0};
  };

  // Another thread reads the tokenizer while weights are packed.
  Impl(const EngineOptions& options, std::unique_ptr<Device> device,
       const std::shared_ptr<const Checkpoint>& checkpoint);
  Impl(const EngineOptions& options, std::unique_ptr<Device> device,
       std::shared_ptr<const Checkpoint> checkpoint, std::future<PromptEncoder> encoder);

  // engine.cc: on the submitting thread.
  PromptEncoder::Encoded Encode(const Request& request) const;
  std::unique_ptr<ActiveRequest> Prepare(Request request) const;
  Work MakeWork(const Request& request, const PromptEncoder::Encoded& prompt,
                Sequence& sequence) const;
  std::optional<ConstraintState> StartConstraint(const Generation& generation) const;
  void Deliver(const ResponseHandler& handler, Response response);

  // engine_loop.cc: on the engine's thread.
  bool TakeInbox();
  void DropCancelled();
  void RunStep(const StepPlan& plan);
  void BeginStep(const StepPlan& plan);
  void Apply(StepTask& task);
  void ApplyGeneration(ActiveRequest& request, GenerationWork& work, StepTask& task);
  void FinishGeneration(ActiveRequest& request, GenerationWork& work);
  void CountTokens(ActiveRequest& request, GenerationWork& work);
  void ApplyScoring(ActiveRequest& request, ScoringWork& work, const StepTask& task);
  void CountStep(const StepPlan& plan, uint64_t busy_ns);
  void Finish(uint64_t id, Response response);
  void DeliverFinished();
  void FlushLog();
  void EndAll(const Error& error);
  ActiveRequest& At(uint64_t id);

  const EngineOptions options_;
  const std::unique_ptr<Device> device_;
  const std::shared_ptr<const Checkpoint> checkpoint_;
  const std::unique_ptr<const Decoder> decoder_;
  const PromptEncoder encoder_;
  const Format kv_format_;
  std::string name_;
  std::vector<int32_t> end_ids_;
  int64_t context_tokens_max_ = 0;

  // Shared between threads.
  mutable std::once_flag constraints_once_;
  mutable std::unique_ptr<ConstraintCache> constraints_;  // made for the first that comes
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::unique_ptr<ActiveRequest>> inbox_;
  uint64_t next_id_ = 1;
  bool stopping_ = false;
  std::optional<Error> death_;  // why nothing is taken any more
  StepSeries series_;
  std::atomic<int> num_waiting_{0};  // submitted and not begun
  Counters counters_;

  // The engine's thread only.
  std::unique_ptr<KvPool> pool_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<ModelRunner> runner_;
  size_t kv_bytes_ = 0;
  EngineLog log_;
  bool log_failed_ = false;
  int num_failed_steps_ = 0;  // in a row
  std::unordered_map<uint64_t, std::unique_ptr<ActiveRequest>> active_;
  std::vector<std::pair<ResponseHandler, Response>> finished_;
};

}  // namespace retort
