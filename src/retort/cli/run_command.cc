#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <fstream>

#include "retort/base/error.h"
#include "retort/base/home.h"
#include "retort/base/log.h"
#include "retort/cli/command.h"
#include "retort/cli/command_list.h"
#include "retort/cli/model_opening.h"
#include "retort/cli/option_checks.h"
#include "retort/cli/run_display.h"
#include "retort/cli/signal_stop.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/step_types.h"
#include "retort/cli/table.h"
#include "retort/hub/hub.h"
#include "retort/pipeline/dry_run.h"
#include "retort/pipeline/earlier_output.h"
#include "retort/pipeline/executor.h"
#include "retort/pipeline/ledger.h"

namespace retort {
namespace {

struct Options {
  std::string file;
  ConfigOverrides set;
  std::string input;
  std::string output;
  std::optional<uint64_t> limit;
  std::optional<uint64_t> seed;
  int threads = 0;
  bool dry_run = false;
  bool no_cache = false;
  std::string cache;
  std::string engine_log;
  bool strict = false;
  bool quiet = false;
};

// `--input` replaces the files of the first step that loads files.
ConfigOverrides WithInput(const Options& options) {
  ConfigOverrides set = options.set;
  if (options.input.empty()) return set;
  Problems problems;
  const PipelineConfig config = ReadConfig(options.file, options.set, problems);
  for (const StepConfig& step : config.steps) {
    if (step.type == "LoadDataFromFileSystem") {
      const Json path = std::filesystem::absolute(options.input).string();
      set.push_back(fmt::format("{}.data_files={}", step.name, DumpJson(path)));
      return set;
    }
  }
  Throw(ErrorCode::kInvalid, "--input: no step of {} loads files (LoadDataFromFileSystem)",
        options.file);
}

// Refuses two seeds that differ: the user may have meant either.
void CheckSeed(const Options& options) {
  if (!options.seed) return;
  for (const std::string& text : options.set) {
    if (!text.starts_with("seed=") || text == fmt::format("seed={}", *options.seed)) continue;
    Throw(ErrorCode::kInvalid, "--seed {} and --set {} contradict each other: give one of them",
          *options.seed, text);
  }
}

// The words of the command, secrets masked.
Json WordsOfCommand() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  Json words = Json::array();
  for (std::string word; std::getline(file, word, '\0');) words.push_back(WithoutSecret(word));
  return words;
}

// The same as text, or null if there are none.
Json ModelFiles(const ModelConfig& model) {
  try {
    return std::filesystem::absolute(ModelFolder(model)).string();
  } catch (const Error&) {
    return nullptr;
  }
}

int Run(const Options& options) {
  CheckSeed(options);
  const std::vector<StepType> types = AllStepTypes();
  std::vector<Problem> warnings;
  const Graph graph =
      LoadPipeline(options.file, WithInput(options), types,
                   {.strict = options.strict, .check_model = CheckModel}, &warnings);
  for (const Problem& warning : warnings) LogWarning("{}", PlacedMessage(warning));
  SignalStop signals;
  if (options.dry_run) {
    Print("{}", ToText(PlanRun(graph, options.limit, signals.token())));
    return kExitDone;
  }

  ConfiguredModels models(graph.config,
                          {.threads = options.threads, .engine_log = options.engine_log});
  RunOptions run_options;
  run_options.output_dir = options.output.empty() ? "out/" + graph.config.name : options.output;
  if (!options.no_cache) {
    run_options.cache_path = options.cache;
    if (options.cache.empty()) run_options.cache_path = DefaultCachePath();
  }
  run_options.limit = options.limit;
  run_options.seed = options.seed;
  run_options.strict = options.strict;
  run_options.warn = [](std::string_view line) { LogLine(LogLevel::kWarning, line); };
  run_options.amend_report = [&](Json& report) {
    report["model_loads"] = models.num_loads();
    report["retort_version"] = RETORT_VERSION;
    report["command"] = WordsOfCommand();
    report["set"] = Json::array();
    for (const std::string& text : options.set) report["set"].push_back(WithoutSecret(text));
    if (options.limit) report["limit"] = *options.limit;
    for (Json& model : report["models"]) {
      model["files"] = ModelFiles(*graph.config.FindModel(model.at("name").get<std::string>()));
    }
  };
  run_options.stop = signals.token();
  const std::filesystem::path output_dir = run_options.output_dir;
  PipelineRun run(graph, models, std::move(run_options));
  RunReport report;
  {
    models.LoadEager();
    const RunDisplay display(run, options.quiet);
    report = run.Execute();
  }
  if (!options.quiet) {
    Note("{}", ReportText(report, models.num_loads(), StderrSize().columns));
  }
  if (!report.stopped_by.empty()) LogWarning("stopped: {}", report.stopped_by);
  if (report.moved_earlier_output) {
    Note("What an earlier run left in {} is in {} now.\n", output_dir.string(),
         (output_dir / kPreviousFolder).string());
  }
  if (report.outcome == RunOutcome::kInterrupted) {
    Note("Interrupted. {}\n",
         options.no_cache
             ? "Finished rows are in the partial outputs only: with --no-cache the same "
               "command starts from the beginning, and replaces them."
             : "What is finished is kept; run the same command again to go on.");
  }
  if (report.rows_failed > 0) {
    Note("{} failed: see {}\n", CountOf(report.rows_failed, "row"),
         (output_dir / "failed.jsonl").string());
  }
  return ExitStatus(report.outcome);
}

}  // namespace

std::function<int()> AddRunCommand(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("pipeline", options->file, "The pipeline file")->required()->transform(IsPath());
  app.add_option("--set", options->set,
                 "STEP.PARAM=VALUE, STEP.generation.KEY=VALUE, models.NAME.KEY=VALUE")
      ->allow_extra_args(false);
  app.add_option("--input", options->input, "Rows to read instead of the file's own")
      ->transform(IsPath());
  app.add_option("--output", options->output,
                 "Folder for the results (default: out/NAME in the current folder)")
      ->transform(IsPath());
  app.add_option("--limit", options->limit, "Rows to read of each source")->check(AtLeast(0));
  app.add_option("--seed", options->seed, "In place of the file's seed")->check(AtLeast(0));
  app.add_option("--threads", options->threads, "Threads that compute (default: all cores)")
      ->check(AtLeast(0));
  app.add_flag("--dry-run", options->dry_run,
               "Show the steps, columns, models and one prompt per task; generate nothing");
  app.add_flag("--no-cache", options->no_cache, "Neither look up nor keep finished work");
  app.add_option("--cache", options->cache,
                 "File of finished work (default: in $RETORT_HOME, else in ~/.cache/retort)")
      ->transform(IsPath());
  app.add_option("--engine-log", options->engine_log,
                 "Append a line per request begun and ended, written by the engine itself")
      ->transform(IsPath());
  app.add_flag("--strict", options->strict, "Warnings about the pipeline are errors");
  app.add_flag("-q,--quiet", options->quiet, "No progress and no table");
  return [options] { return Run(*options); };
}

}  // namespace retort
