// How fast rows flow when the model costs nothing: 100,000 rows through eight steps, four of them
// LLM tasks on the scripted model, with the ledger on; then once more, all from the ledger.
//
//   pipeline_rows [rows] [folder]
//
// Prints rows/s, records/s and peak memory. The folder's file system takes part in the number.
#include <sys/resource.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "retort/base/scratch_folder_test.h"
#include "retort/llm/scripted_model.h"
#include "retort/pipeline/executor.h"
#include "retort/steps/step_list.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

constexpr const char* kPipeline = R"(
name: rows
seed: 1
models:
  fake: {path: scripted, max_num_seqs: 32, generation: {temperature: 0.7, max_new_tokens: 64}}
steps:
  - {name: load, type: LoadDataFromFileSystem, data_files: rows.jsonl}
  - {name: answer, type: TextGeneration, llm: fake}
  - {name: talk, type: ConversationTemplate, input_mappings: {response: generation}}
  - {name: harder, type: EvolInstruct, llm: fake, num_evolutions: 1}
  - {name: better, type: EvolQuality, llm: fake, num_evolutions: 1, input_mappings: {response: generation}}
  - {name: narrow, type: KeepColumns, columns: [id, instruction, generation, evolved_instruction, evolved_response]}
  - {name: again, type: TextGeneration, llm: fake, input_mappings: {instruction: evolved_instruction}, output_mappings: {generation: final}}
  - {name: keep, type: KeepColumns, columns: [id, instruction, evolved_response, final]}
)";

class OneModel : public ModelSource {
 public:
  explicit OneModel(std::shared_ptr<LanguageModel> model) : model_(std::move(model)) {}
  std::shared_ptr<LanguageModel> Acquire(const std::string&) override { return model_; }

 private:
  std::shared_ptr<LanguageModel> model_;
};

void WriteRows(const std::filesystem::path& path, int64_t num_rows) {
  std::ofstream file(path);
  for (int64_t i = 0; i < num_rows; ++i) {
    file << fmt::format(
        "{{\"id\":{},\"instruction\":\"Explain in a few sentences how thing number {} came to be, "
        "and why it matters to people who have never heard of it.\"}}\n",
        i, i);
  }
}

void RunOnce(const char* what, const std::filesystem::path& folder, int64_t num_rows,
             const Graph& graph) {
  Script script;
  script.default_reply =
      "It began long ago and went on for a while; what came of it is number ${digest}, which is "
      "still with us in more than one way.";
  ScriptedOptions model_options;
  model_options.num_threads = 1;
  OneModel models(std::make_shared<ScriptedModel>(script, model_options));
  RunOptions options;
  options.output_dir = folder / "out";
  options.cache_path = folder / "cache.sqlite";
  const auto begin = std::chrono::steady_clock::now();
  const RunReport report = PipelineRun(graph, models, options).Execute();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf(
      "%-8s %8lld rows in %6.2f s: %8.0f rows/s, %8.0f records/s, %llu failed, peak %ld MB\n", what,
      static_cast<long long>(report.rows_written), seconds,
      static_cast<double>(report.rows_written) / seconds,
      8.0 * static_cast<double>(num_rows) / seconds,
      static_cast<unsigned long long>(report.rows_failed), usage.ru_maxrss >> 10);
}

int Main(int argc, char** argv) {
  int64_t num_rows = 100'000;
  if (argc > 1) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), num_rows);
  const ScratchFolder scratch;
  const std::filesystem::path folder =
      (argc > 2 ? std::filesystem::path(argv[2]) : scratch.path()) / "pipeline-rows";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  WriteRows(folder / "rows.jsonl", num_rows);
  std::vector<StepType> types(StepList().begin(), StepList().end());
  types.insert(types.end(), TaskList().begin(), TaskList().end());
  Problems problems;
  const Graph graph =
      BuildGraph(ParseConfig(kPipeline, folder / "rows.yaml", {}, problems), types, {}, problems);
  problems.ThrowIfAny();
  RunOnce("cold", folder, num_rows, graph);
  RunOnce("warm", folder, num_rows, graph);
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace retort

int main(int argc, char** argv) {
  try {
    return retort::Main(argc, argv);
  } catch (const retort::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return retort::ExitStatus(error.code());
  }
}
