#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "retort/llm/language_model.h"
#include "retort/pipeline/executor.h"
#include "retort/pipeline/fault_streak.h"
#include "retort/pipeline/graph.h"
#include "retort/pipeline/lineage.h"
#include "retort/pipeline/requests_in_flight.h"

namespace retort {

// Requests in a row that a model left unanswered, retries included, after which it is given up.
inline constexpr int kUnansweredMax = 16;

// A model of the run: identified when the first row comes to it, acquired when the first request is
// not in the ledger. Thread-safe.
class ModelSlot {
 public:
  ModelSlot(std::string name, ModelSource& source) : name_(std::move(name)), source_(source) {}

  // Throws what opening the model's files throws.
  const ModelIdentity& Identity();
  // Throws what loading throws.
  LanguageModel& Get();
  // Null until someone needed it.
  std::shared_ptr<LanguageModel> Peek() const;
  const std::string& name() const { return name_; }
  // Once Identity() was called; empty before. Stays the same.
  ModelDescription description() const;
  // As ModelIdentity says; nothing is wrong with a model that nobody asked for.
  void CheckUnchanged() const;
  // What the model did since it was acquired.
  ModelStats StatsSince() const;
  // Sequences per engine step since then, until `share` of the tokens were computed.
  double MeanSequencesUntil(double share) const;

  // Says whether the model was there for a request. False: it has been away for so many in a row
  // that the others would only fail too.
  bool CountAnswer(bool answered);

  int num_consumers = 0;
  RequestsInFlight in_flight;
  FaultStreak faults;

 private:
  std::string name_;
  ModelSource& source_;
  std::atomic<int> num_unanswered_ = 0;
  std::mutex load_mutex_;  // held for as long as a load takes
  // Of the rest: never held while files are read, which progress() may watch.
  mutable std::mutex mutex_;
  std::shared_ptr<const ModelIdentity> identity_;
  ModelDescription description_;  // set with identity_
  std::shared_ptr<LanguageModel> model_;
  ModelStats at_start_;  // written before model_, then constant
};

struct StepCounters {
  std::atomic<bool> ended = false;
  std::atomic<uint64_t> rows_in = 0;
  std::atomic<uint64_t> rows_done = 0;
  std::atomic<uint64_t> rows_out = 0;
  std::atomic<uint64_t> rows_cached = 0;
  std::atomic<uint64_t> rows_failed = 0;
  std::atomic<uint64_t> rows_upstream_failed = 0;
  std::atomic<uint64_t> rows_dropped = 0;
  std::atomic<uint64_t> rows_cut = 0;
  std::atomic<uint64_t> rows_with_gaps = 0;
  std::atomic<uint64_t> num_requests = 0;
  std::atomic<uint64_t> num_requests_cached = 0;
  std::atomic<uint64_t> prompt_tokens = 0;
  std::atomic<uint64_t> cached_tokens = 0;
  std::atomic<uint64_t> completion_tokens = 0;

  void CountFailure(ErrorCode code);
  StepProgress Snapshot(const GraphStep& step) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, uint64_t> failures_;
};

// A step of the graph at work.
struct StepRuntime {
  const GraphStep* graph = nullptr;
  std::unique_ptr<Step> step;
  ModelSlot* model = nullptr;  // null: uses none
  SamplingParams sampling;
  bool use_cache = true;
  std::optional<RowSchemas> row_schemas;  // where `structured_output` is a column
  StepCounters counters;
  FaultStreak faults;  // of this step's own requests, whatever others of its model get

  // Names everything about the step that can change its outputs, its name not among it. Identifies
  // the model, if it uses one.
  const LineageKey& key();
  // Names the outputs that the step makes of a row of this key, in the ledger.
  LineageKey OutputsKey(const LineageKey& row_key);

 private:
  std::once_flag key_once_;
  LineageKey key_;
};

}  // namespace retort
