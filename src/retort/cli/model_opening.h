#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "retort/llm/language_model.h"
#include "retort/pipeline/config.h"

namespace CLI {
class App;
}

namespace retort {

// A model named on the command line, and how to run it.
struct LocalModelOptions {
  std::string model;
  std::string device = "cpu";
  int threads = 0;
  std::string kv_cache = "512MiB";
  std::string kv_format = "auto";  // of kKvFormatNames
  int context = 0;
  bool exact = false;
  // Not on the command line: what a command itself wants; 0: the engine's default.
  int max_num_seqs = 0;
};

// Adds `model` (positional), --device, --threads, --kv-cache, --kv-format, --context and
// --exact.
void AddLocalModelOptions(CLI::App& app, LocalModelOptions& options);

// Resolves the name, opens the checkpoint and starts an engine on it.
std::shared_ptr<LanguageModel> OpenLocalModel(const LocalModelOptions& options);

// Adds to `problems` what keeps a pipeline's model from being opened and can be told without
// opening it: no such file or pulled model, settings that this build or no engine can follow. A
// model that could be pulled is a warning.
void CheckModel(const ModelConfig& model, Problems& problems);

// Where the files of a pipeline's model are: a path starts at the folder of the file that it stands
// in. Throws Error{kNotFound} that tells what to do.
std::filesystem::path ModelFolder(const ModelConfig& model);

struct OpeningOptions {
  int threads = 0;         // 0: the pipeline's own setting, else all cores
  std::string engine_log;  // empty: none
};

// The models of a pipeline file, opened in this process when somebody asks for them.
class ConfiguredModels : public ModelSource {
 public:
  // `config` must outlive the object.
  ConfiguredModels(const PipelineConfig& config, const OpeningOptions& options);
  ~ConfiguredModels() override;

  std::shared_ptr<LanguageModel> Acquire(const std::string& name) override;
  std::shared_ptr<const ModelIdentity> Identify(const std::string& name) override;
  // Loads the models that the file wants loaded before anyone asks. Throws Error naming the model.
  void LoadEager();
  // Loads from disk so far.
  uint64_t num_loads() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace retort
