#pragma once

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "retort/base/file.h"
#include "retort/pipeline/fake_steps_test.h"

namespace retort::fake {

inline std::string FileText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::vector<Json> JsonLines(const std::filesystem::path& path) {
  std::vector<Json> rows;
  std::istringstream text(FileText(path));
  for (std::string line; std::getline(text, line);) rows.push_back(ParseJson(line, "row"));
  return rows;
}

// A pipeline of the fake steps, checked.
inline Graph MakeGraph(const std::string& yaml, const ConfigOverrides& overrides = {}) {
  static const std::vector<StepType> types = Types();
  Problems problems;
  PipelineConfig config = ParseConfig(yaml, "p.yaml", overrides, problems);
  Graph graph = BuildGraph(std::move(config), types, {}, problems);
  problems.ThrowIfAny();
  return graph;
}

// A scripted model that answers on several threads, out of order, and remembers.
inline std::shared_ptr<ScriptedModel> MakeModel(const Json& script, int num_threads = 2,
                                                uint64_t shuffle_seed = 1) {
  ScriptedOptions options;
  options.num_threads = num_threads;
  options.shuffle_seed = shuffle_seed;
  options.record = true;
  return std::make_shared<ScriptedModel>(ParseScript(script, "script"), options);
}

// Runs a graph into `dir`/out with the ledger in `dir`/cache.sqlite.
inline RunReport RunGraph(const Graph& graph, std::shared_ptr<LanguageModel> model,
                          const std::filesystem::path& dir, RunOptions options = {}) {
  OneModel models(std::move(model));
  if (options.output_dir.empty()) options.output_dir = dir / "out";
  if (!options.cache_path) options.cache_path = dir / "cache.sqlite";
  if (options.num_workers == 0) options.num_workers = 8;
  PipelineRun run(graph, models, options);
  return run.Execute();
}

}  // namespace retort::fake
