#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "retort/base/json.h"
#include "retort/llm/language_model.h"
#include "retort/pipeline/problem.h"
#include "retort/pipeline/yaml_node.h"

namespace retort {

// `generation:` of a model or of a step. What is unset is inherited: a step's from its model's, a
// model's from SamplingParams.
struct GenerationSettings {
  std::optional<double> temperature;
  std::optional<int> top_k;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<int> max_new_tokens;
  std::optional<std::vector<std::string>> stop;
  std::optional<bool> ignore_eos;
  std::optional<uint64_t> seed;  // draws other answers in this step alone

  bool operator==(const GenerationSettings&) const = default;
};

// The keys of `generation:`.
std::span<const std::string_view> GenerationKeys();

// `over`, and from `under` what it leaves unset.
GenerationSettings Overlay(const GenerationSettings& over, const GenerationSettings& under);
SamplingParams ToSamplingParams(const GenerationSettings& settings);

// What keys and values may be kept in; auto is the engine's own choice.
inline const std::initializer_list<std::string_view> kKvFormatNames = {"auto", "bf16", "f16",
                                                                       "int8", "f32"};

// Of the engine that runs the model. Unset: the engine's own default.
struct EngineSettings {
  std::optional<int> max_num_seqs;
  std::optional<int> max_batch_tokens;
  std::optional<int> prefill_chunk;
  std::optional<uint64_t> kv_cache_bytes;  // `kv_cache: 512MiB`
  std::optional<std::string> kv_format;    // of kKvFormatNames
  std::optional<int> context;              // tokens
  std::optional<bool> prefix_cache;
  std::optional<std::string> compute;  // auto | exact
  std::optional<int> threads;
};

// One entry of `models:`.
struct ModelConfig {
  std::string name;
  Mark mark;
  std::string path;            // hub id, directory, .gguf, or a name that `retort pull` knows
  Json openai = nullptr;       // a remote model's settings, instead of a path
  Json device_map = "auto";    // a name, or a map
  std::string dtype = "auto";  // auto | float32 | float16 | bfloat16
  LoadPolicy load_policy = LoadPolicy::kLazy;
  std::chrono::milliseconds keep_alive{5 * 60 * 1000};  // negative: for ever
  bool shared_instance = true;                          // `instance: shared | private`
  GenerationSettings generation;
  EngineSettings engine;
};

enum class OnError {
  kKeep,  // the failed step's outputs become null, the row goes on
  kDrop,  // the row ends
  kFail,  // the run stops
};

// One entry of `steps:`, before its type is known.
struct StepConfig {
  std::string name;
  std::string type;
  Mark mark;
  std::optional<std::string> llm;
  Mark llm_mark;
  GenerationSettings generation;
  std::optional<Mark> generation_mark;
  std::optional<YamlNode> structured_output;
  // Predecessors; unset: the step before.
  std::optional<std::vector<std::string>> after;
  Mark after_mark;
  std::map<std::string, std::string> input_mappings;   // step's column → dataset column
  std::map<std::string, std::string> output_mappings;  // step's column → new column
  Mark input_mappings_mark;
  Mark output_mappings_mark;
  OnError on_error = OnError::kKeep;
  bool use_cache = true;
  // All other keys, the step's own: values and places, in file order.
  std::vector<std::pair<YamlNode, YamlNode>> params;
};

// A pipeline file, read and checked as far as it can be without knowing the step types.
struct PipelineConfig {
  std::string name;
  std::string description;
  std::filesystem::path file;
  std::filesystem::path base_dir;  // relative paths in the file start here
  std::string digest;              // SHA-256 of the file, in hex, before --set
  uint64_t seed = 0;
  std::vector<ModelConfig> models;
  std::vector<StepConfig> steps;

  const ModelConfig* FindModel(std::string_view name) const;
};

// `--set` arguments, each "step.param=value", "step.generation.temperature=0",
// "models.NAME.key=value", "seed=7"; the value is YAML. They replace or add what the file says
// before it is checked.
using ConfigOverrides = std::vector<std::string>;

// Reads a pipeline file. Throws Error{kNotFound, kIo, kInvalid} if there is no YAML document to
// look at; everything else wrong is added to `problems`, and the config holds what could be read.
PipelineConfig ReadConfig(const std::filesystem::path& file, const ConfigOverrides& overrides,
                          Problems& problems);
// The same, of a text. `file` names it in messages.
PipelineConfig ParseConfig(std::string_view text, const std::filesystem::path& file,
                           const ConfigOverrides& overrides, Problems& problems);

// "512MiB", "2GB", "4096" → bytes. Throws Error{kInvalid}.
uint64_t ParseByteSize(std::string_view text);
// "300ms", "5s", "5m", "2h", "0", "-1" (for ever). Throws Error{kInvalid}.
std::chrono::milliseconds ParseDuration(std::string_view text);

}  // namespace retort
