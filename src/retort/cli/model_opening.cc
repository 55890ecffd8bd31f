#include "retort/cli/model_opening.h"

#include <CLI/CLI.hpp>
#include <map>
#include <optional>

#include "retort/base/error.h"
#include "retort/base/home.h"
#include "retort/cli/option_checks.h"
#include "retort/hub/hub.h"
#include "retort/registry/engine_loader.h"
#include "retort/registry/model_registry.h"

namespace retort {
namespace {

// What this build cannot do is said before anything loads, never ignored.
void CheckSupported(const ModelConfig& model) {
  if (!model.openai.is_null()) {
    Throw(ErrorCode::kUnsupported, "remote models are not in this build");
  }
  if (model.device_map != "auto") {
    Throw(ErrorCode::kUnsupported,
          "device_map {} is not in this build, which runs models on the processor: use auto",
          DumpJson(model.device_map));
  }
  if (!model.shared_instance) {
    Throw(ErrorCode::kUnsupported,
          "instance private is not in this build, which shares every model: use shared");
  }
  if (model.dtype != "auto") {
    Throw(ErrorCode::kUnsupported,
          "dtype {} is not in this build, which keeps the stored one: use auto", model.dtype);
  }
}

// Of a name in kKvFormatNames; nothing for auto.
std::optional<Format> KvFormatOf(const std::string& name) {
  static const std::map<std::string, Format> kFormats = {
      {"bf16", Format::kBF16}, {"f16", Format::kF16}, {"int8", Format::kI8}, {"f32", Format::kF32}};
  const auto found = kFormats.find(name);
  return found == kFormats.end() ? std::nullopt : std::optional(found->second);
}

std::string WrittenFromAnywhere(const ModelConfig& model) {
  return ModelFrom(std::filesystem::path(model.mark.file).parent_path(), model.path);
}

EngineOptions EngineOptionsOf(const ModelConfig& model, const OpeningOptions& opening) {
  const EngineSettings& settings = model.engine;
  EngineOptions options;
  options.path = WrittenFromAnywhere(model);
  options.name = model.name;
  options.num_threads = opening.threads > 0 ? opening.threads : settings.threads.value_or(0);
  if (settings.max_num_seqs) options.max_num_seqs = *settings.max_num_seqs;
  if (settings.max_batch_tokens) options.max_batch_tokens = *settings.max_batch_tokens;
  if (settings.prefill_chunk) options.prefill_chunk_tokens = *settings.prefill_chunk;
  if (settings.kv_cache_bytes) options.kv_bytes = *settings.kv_cache_bytes;
  options.kv_format = KvFormatOf(settings.kv_format.value_or("auto"));
  if (settings.context) options.context_tokens_max = *settings.context;
  if (settings.prefix_cache) options.prefix_cache = *settings.prefix_cache;
  if (settings.compute == "exact") options.compute = Compute::kExact;
  options.engine_log = opening.engine_log;
  return options;
}

}  // namespace

void AddLocalModelOptions(CLI::App& app, LocalModelOptions& options) {
  app.add_option("model", options.model, "A path, or the name of a pulled model")
      ->required()
      ->check(NotEmpty());
  app.add_option("--device", options.device, "As `retort devices` names it")
      ->check(NotEmpty())
      ->capture_default_str();
  app.add_option("--threads", options.threads, "Threads that compute (default: all cores)")
      ->check(AtLeast(0));
  app.add_option("--kv-cache", options.kv_cache, "Memory for keys and values")
      ->capture_default_str();
  app.add_option("--kv-format", options.kv_format,
                 "Keys and values in bf16, f16, int8 with a scale per token and head, or f32")
      ->check(CLI::IsMember(std::vector<std::string>(kKvFormatNames.begin(), kKvFormatNames.end())))
      ->capture_default_str();
  app.add_option("--context", options.context, "Longest prompt and answer in tokens")
      ->check(AtLeast(0));
  app.add_flag("--exact", options.exact, "Keep activations, keys and values in 32-bit floats");
}

std::filesystem::path ModelFolder(const ModelConfig& model) {
  return ResolveModel(WrittenFromAnywhere(model), DefaultHome());
}

void CheckModel(const ModelConfig& model, Problems& problems) {
  const auto check = [&](const auto& act) {
    try {
      act();
    } catch (const Error& error) {
      problems.Add({error.code(), model.mark,
                    fmt::format("model '{}': {}", model.name, error.message()), false});
    }
  };
  check([&] { CheckSupported(model); });
  check([&] { CheckEngineOptions(EngineOptionsOf(model, {})); });
  try {
    ModelFolder(model);
  } catch (const Error& error) {
    const bool can_be_pulled = error.code() == ErrorCode::kNotFound && CanBePulled(model.path);
    const std::string nearest =
        can_be_pulled ? NearestName(model.path, PulledModels(DefaultHome())) : "";
    problems.Add({error.code(), model.mark,
                  fmt::format("model '{}': {}{}", model.name, error.message(),
                              nearest.empty() ? "" : fmt::format("; '{}' is there", nearest)),
                  can_be_pulled});
  }
}

std::shared_ptr<LanguageModel> OpenLocalModel(const LocalModelOptions& options) {
  EngineOptions engine;
  engine.path = options.model;
  engine.name = options.model;
  engine.device = options.device;
  engine.num_threads = options.threads;
  engine.kv_bytes = ParseByteSize(options.kv_cache);
  engine.kv_format = KvFormatOf(options.kv_format);
  engine.context_tokens_max = options.context;
  if (options.exact) engine.compute = Compute::kExact;
  if (options.max_num_seqs > 0) engine.max_num_seqs = options.max_num_seqs;
  return MakeEngineLoader(std::move(engine), DefaultHome()).load();
}

struct ConfiguredModels::State {
  std::unique_ptr<ModelRegistry> registry;
};

ConfiguredModels::ConfiguredModels(const PipelineConfig& config, const OpeningOptions& options)
    : state_(new State) {
  std::vector<ModelEntry> entries;
  for (const ModelConfig& model : config.models) {
    try {
      CheckSupported(model);
    } catch (const Error& error) {
      Throw(error.code(), "{}: model '{}': {}", MarkText(model.mark), model.name, error.message());
    }
    EngineLoader loader = MakeEngineLoader(EngineOptionsOf(model, options), DefaultHome());
    entries.push_back({.name = model.name,
                       .load = std::move(loader.load),
                       .policy = model.load_policy,
                       .keep_alive = model.keep_alive,
                       .identify = std::move(loader.identify)});
  }
  state_->registry = std::make_unique<ModelRegistry>(std::move(entries));
}

ConfiguredModels::~ConfiguredModels() = default;

std::shared_ptr<LanguageModel> ConfiguredModels::Acquire(const std::string& name) {
  return state_->registry->Acquire(name);
}

std::shared_ptr<const ModelIdentity> ConfiguredModels::Identify(const std::string& name) {
  return state_->registry->Identify(name);
}

void ConfiguredModels::LoadEager() { state_->registry->LoadEager(); }

uint64_t ConfiguredModels::num_loads() const {
  uint64_t loads = 0;
  for (const ModelStatus& status : state_->registry->status()) {
    loads += static_cast<uint64_t>(status.num_loads);
  }
  return loads;
}

}  // namespace retort
