#include <algorithm>

#include "retort/base/digest.h"
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
          {"rows_cut", step.rows_cut},
          {"rows_with_gaps", step.rows_with_gaps},
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
          {"path", model.path},
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

// Longer values of parameters (the rows of LoadDataFromDicts) are named by their digest.
constexpr size_t kParamBytesMax = 64 << 10;

constexpr std::string_view kSecretNames[] = {"api_key", "apikey",        "token",   "hf_token",
                                             "secret",  "authorization", "password"};
constexpr std::string_view kMask = "***";

bool MeansASecret(std::string_view name) {
  return std::find(std::begin(kSecretNames), std::end(kSecretNames), name) !=
         std::end(kSecretNames);
}

Json Shortened(Json value) {
  const std::string text = DumpJson(value);
  if (text.size() <= kParamBytesMax) return value;
  return {{"sha256", Sha256Hex(text)}, {"bytes", text.size()}};
}

Json GenerationToJson(const GenerationSettings& settings) {
  const SamplingParams sampling = ToSamplingParams(settings);
  Json json = {{"temperature", settings.temperature.value_or(sampling.temperature)},
               {"top_k", sampling.top_k},
               {"top_p", settings.top_p.value_or(sampling.top_p)},
               {"min_p", settings.min_p.value_or(sampling.min_p)},
               {"max_new_tokens", sampling.max_new_tokens},
               {"stop", sampling.stop},
               {"ignore_eos", sampling.ignore_eos}};
  if (settings.seed) json["seed"] = *settings.seed;
  return json;
}

std::string_view OnErrorName(OnError on_error) {
  switch (on_error) {
    case OnError::kKeep:
      return "keep";
    case OnError::kDrop:
      return "drop";
    case OnError::kFail:
      return "fail";
  }
  return "keep";
}

}  // namespace

Json WithoutSecrets(Json value) {
  if (value.is_array()) {
    for (Json& item : value) item = WithoutSecrets(std::move(item));
  } else if (value.is_object()) {
    for (auto& [name, item] : value.items()) {
      item = MeansASecret(name) ? Json(kMask) : WithoutSecrets(std::move(item));
    }
  }
  return value;
}

std::string WithoutSecret(std::string_view override_text) {
  const size_t equals = override_text.find('=');
  const std::string_view path = override_text.substr(0, equals);
  const size_t dot = path.rfind('.');
  const std::string_view name = dot == std::string_view::npos ? path : path.substr(dot + 1);
  if (equals == std::string_view::npos) return std::string(override_text);
  if (MeansASecret(name)) return fmt::format("{}={}", path, kMask);
  return std::string(override_text);
}

Json SettingsToJson(const Graph& graph, const GraphStep& step) {
  Json json = Json::object();
  json["after"] = Json::array();
  for (const size_t before : step.after) json["after"].push_back(graph.steps[before].name());
  if (step.config.llm) json["llm"] = *step.config.llm;
  json["params"] = Json::object();
  for (const auto& [name, value] : step.params.values().items()) {
    json["params"][name] = Shortened(WithoutSecrets(value));
  }
  if (step.model_use == ModelUse::kGenerate) json["generation"] = GenerationToJson(step.generation);
  if (step.config.structured_output) {
    json["structured_output"] = Shortened(YamlToJson(*step.config.structured_output));
  }
  for (const auto& [name, mappings] :
       {std::pair{"input_mappings", &step.config.input_mappings},
        std::pair{"output_mappings", &step.config.output_mappings}}) {
    if (!mappings->empty()) json[name] = *mappings;
  }
  json["on_error"] = OnErrorName(step.config.on_error);
  json["use_cache"] = step.config.use_cache;
  json["version"] = step.type->version;
  return json;
}

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
