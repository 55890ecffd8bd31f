#include "retort/pipeline/executor.h"

namespace retort {
namespace {

double Share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

Json StepToJson(const StepProgress& step) {
  return {{"name", step.name},
          {"type", step.type},
          {"rows_in", step.rows_in},
          {"rows_out", step.rows_out},
          {"rows_cached", step.rows_cached},
          {"rows_failed", step.rows_failed},
          {"rows_upstream_failed", step.rows_upstream_failed},
          {"rows_dropped", step.rows_dropped},
          {"failures", Json(step.failures)},
          {"requests", step.num_requests},
          {"requests_cached", step.num_requests_cached},
          {"prompt_tokens", step.prompt_tokens},
          {"prompt_tokens_cached", step.cached_tokens},
          {"completion_tokens", step.completion_tokens}};
}

Json ModelToJson(const ModelProgress& model, double wall_s) {
  const ModelStats& stats = model.stats;
  return {{"name", model.name},
          {"digest", model.description.digest},
          {"dispatch_level", model.description.dispatch_level},
          {"consumers", model.num_consumers},
          {"requests", stats.num_requests},
          {"requests_failed", stats.num_failed},
          {"prompt_tokens", stats.prompt_tokens},
          {"prompt_tokens_cached", stats.cached_tokens},
          {"prefix_cache_share", Share(stats.cached_tokens, stats.prompt_tokens)},
          {"completion_tokens", stats.completion_tokens},
          {"completion_tokens_per_s",
           wall_s > 0 ? static_cast<double>(stats.completion_tokens) / wall_s : 0.0},
          {"engine_steps", stats.num_steps},
          {"mean_sequences_per_step", Share(stats.num_step_sequences, stats.num_steps)},
          {"mean_sequences_per_step_until_90_percent", model.mean_sequences_until_90},
          {"busy_share", wall_s > 0 ? static_cast<double>(stats.busy_ns) / 1e9 / wall_s : 0.0},
          {"preemptions", stats.num_preemptions},
          {"weight_bytes", stats.weight_bytes},
          {"kv_bytes", stats.kv_bytes}};
}

}  // namespace

int ExitStatus(RunOutcome outcome) {
  switch (outcome) {
    case RunOutcome::kDone:
      return 0;
    case RunOutcome::kDoneWithFailures:
    case RunOutcome::kStoppedByFailure:
      return 1;
    case RunOutcome::kNothingProduced:
      return 3;
    case RunOutcome::kInterrupted:
      return 130;
  }
  Throw(ErrorCode::kInternal, "no such outcome: {}", static_cast<int>(outcome));
}

std::string_view RunOutcomeName(RunOutcome outcome) {
  switch (outcome) {
    case RunOutcome::kDone:
      return "done";
    case RunOutcome::kDoneWithFailures:
      return "done_with_failures";
    case RunOutcome::kNothingProduced:
      return "nothing_produced";
    case RunOutcome::kInterrupted:
      return "interrupted";
    case RunOutcome::kStoppedByFailure:
      return "stopped_by_failure";
  }
  Throw(ErrorCode::kInternal, "no such outcome: {}", static_cast<int>(outcome));
}

Json ToJson(const RunReport& report) {
  const double wall_s = report.progress.wall_s;
  Json json = {{"outcome", std::string(RunOutcomeName(report.outcome))},
               {"wall_s", wall_s},
               {"rows_written", report.rows_written},
               {"rows_failed", report.rows_failed},
               {"peak_rss_bytes", report.peak_rss_bytes},
               {"peak_anonymous_bytes", report.peak_anonymous_bytes}};
  if (!report.stopped_by.empty()) json["stopped_by"] = report.stopped_by;
  json["outputs"] = Json::array();
  for (const auto& path : report.outputs) json["outputs"].push_back(path.string());
  json["models"] = Json::array();
  for (const ModelProgress& model : report.progress.models) {
    json["models"].push_back(ModelToJson(model, wall_s));
  }
  json["steps"] = Json::array();
  for (const StepProgress& step : report.progress.steps) {
    json["steps"].push_back(StepToJson(step));
  }
  return json;
}

}  // namespace retort
