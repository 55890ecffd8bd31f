#include "retort/pipeline/step_runtime.h"

#include <bit>

namespace retort {

const ModelIdentity& ModelSlot::Identity() {
  const auto known = [this]() -> const ModelIdentity* {
    std::lock_guard lock(mutex_);
    return identity_.get();
  };
  if (const auto* identity = known()) return *identity;
  std::lock_guard loading(load_mutex_);
  if (const auto* identity = known()) return *identity;
  auto identity = source_.Identify(name_);
  if (!identity) Throw(ErrorCode::kInternal, "no model came for '{}'", name_);
  ModelDescription description = identity->description();
  std::lock_guard lock(mutex_);
  identity_ = std::move(identity);
  description_ = std::move(description);
  return *identity_;
}

LanguageModel& ModelSlot::Get() {
  if (const auto model = Peek()) return *model;
  std::lock_guard loading(load_mutex_);
  if (const auto model = Peek()) return *model;
  auto model = source_.Acquire(name_);
  if (!model) Throw(ErrorCode::kInternal, "no model came for '{}'", name_);
  at_start_ = model->stats();
  std::lock_guard lock(mutex_);
  model_ = std::move(model);
  return *model_;
}

ModelDescription ModelSlot::description() const {
  std::lock_guard lock(mutex_);
  return description_;
}

void ModelSlot::CheckUnchanged() const {
  std::shared_ptr<const ModelIdentity> identity;
  {
    std::lock_guard lock(mutex_);
    identity = identity_;
  }
  if (identity != nullptr) identity->CheckUnchanged();
}

std::shared_ptr<LanguageModel> ModelSlot::Peek() const {
  std::lock_guard lock(mutex_);
  return model_;
}

bool ModelSlot::CountAnswer(bool answered) {
  if (!answered) return ++num_unanswered_ < kUnansweredMax;
  num_unanswered_ = 0;
  return true;
}

ModelStats ModelSlot::StatsSince() const {
  const auto model = Peek();
  if (!model) return {};
  ModelStats stats = model->stats();
  stats.num_requests -= at_start_.num_requests;
  stats.num_failed -= at_start_.num_failed;
  stats.prompt_tokens -= at_start_.prompt_tokens;
  stats.cached_tokens -= at_start_.cached_tokens;
  stats.completion_tokens -= at_start_.completion_tokens;
  stats.num_steps -= at_start_.num_steps;
  stats.num_step_sequences -= at_start_.num_step_sequences;
  stats.busy_ns -= at_start_.busy_ns;
  stats.num_preemptions -= at_start_.num_preemptions;
  return stats;
}

double ModelSlot::MeanSequencesUntil(double share) const {
  const auto model = Peek();
  if (!model) return 0;
  std::vector<StepPoint> points;
  StepPoint origin;
  for (StepPoint point : model->step_points()) {
    if (point.num_steps <= at_start_.num_steps) {
      origin = point;  // the nearest before the run that was kept
      continue;
    }
    point.num_steps -= origin.num_steps;
    point.num_step_sequences -= origin.num_step_sequences;
    point.batch_tokens -= origin.batch_tokens;
    points.push_back(point);
  }
  return retort::MeanSequencesUntil(points, &StepPoint::batch_tokens, share);
}

void StepCounters::CountFailure(ErrorCode code) {
  ++rows_failed;
  std::lock_guard lock(mutex_);
  ++failures_[std::string(ErrorCodeName(code))];
}

StepProgress StepCounters::Snapshot(const GraphStep& step) const {
  StepProgress progress;
  progress.name = step.name();
  progress.type = step.type->name;
  progress.after = step.after;
  progress.is_join = step.kind() == StepKind::kJoin;
  progress.uses_model = step.model_use != ModelUse::kNone;
  progress.is_root = step.is_root();
  progress.ended = ended;
  progress.rows_done = rows_done;  // before rows_in, which is never less
  progress.rows_in = rows_in;
  progress.rows_out = rows_out;
  progress.rows_cached = rows_cached;
  progress.rows_failed = rows_failed;
  progress.rows_upstream_failed = rows_upstream_failed;
  progress.rows_dropped = rows_dropped;
  progress.rows_cut = rows_cut;
  progress.rows_with_gaps = rows_with_gaps;
  progress.num_requests = num_requests;
  progress.num_requests_cached = num_requests_cached;
  progress.prompt_tokens = prompt_tokens;
  progress.cached_tokens = cached_tokens;
  progress.completion_tokens = completion_tokens;
  std::lock_guard lock(mutex_);
  progress.failures = failures_;
  return progress;
}

namespace {

void AddSampling(Sha256& digest, const SamplingParams& sampling) {
  digest.Field(std::bit_cast<uint32_t>(sampling.temperature))
      .Field(static_cast<uint64_t>(sampling.top_k))
      .Field(std::bit_cast<uint32_t>(sampling.top_p))
      .Field(std::bit_cast<uint32_t>(sampling.min_p))
      .Field(static_cast<uint64_t>(sampling.max_new_tokens))
      .Field(static_cast<uint64_t>(sampling.ignore_eos))
      .Field(static_cast<uint64_t>(sampling.stop.size()));
  for (const std::string& stop : sampling.stop) digest.Field(stop);
}

}  // namespace

const LineageKey& StepRuntime::key() {
  std::call_once(key_once_, [this] {
    Sha256 digest;
    digest.Field("step")
        .Field(graph->type->name)
        .Field(static_cast<uint64_t>(graph->type->version))
        .Field(DumpJson(graph->params.values()));
    for (const auto* mappings : {&graph->config.input_mappings, &graph->config.output_mappings}) {
      digest.Field(static_cast<uint64_t>(mappings->size()));
      for (const auto& [own, column] : *mappings) digest.Field(own).Field(column);
    }
    if (model != nullptr) {
      model->Identity();
      digest.Field(model->description().answers_key);
      AddSampling(digest, sampling);
      const StructuredOutput& output = graph->structured_output;
      if (output.is_set()) {
        digest.Field(kConstraintVersion).Field(output.column).Field(uint64_t{output.close});
        if (output.constraint) digest.Field(ConstraintKey(*output.constraint));
      }
      digest.Field(graph->generation.seed ? 1 : 0).Field(graph->generation.seed.value_or(0));
    }
    key_ = FinishKey(digest);
  });
  return key_;
}

LineageKey StepRuntime::OutputsKey(const LineageKey& row_key) {
  Sha256 digest;
  digest.Field("outputs").Field(key().view()).Field(row_key.view());
  // Part of the outputs, yet no reason for other draws.
  if (model != nullptr) digest.Field(model->name()).Field(kConstraintVersion);
  return FinishKey(digest);
}

}  // namespace retort
