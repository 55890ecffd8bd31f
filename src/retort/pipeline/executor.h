#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "retort/llm/language_model.h"
#include "retort/pipeline/graph.h"
#include "retort/pipeline/ledger.h"

namespace retort {

struct RunOptions {
  // Gets NAME.jsonl per step without successors, failed.jsonl and run.json. Made if it is not
  // there.
  std::filesystem::path output_dir;
  // The ledger's file; unset: nothing is looked up or kept (`--no-cache`).
  std::optional<std::filesystem::path> cache_path;
  LedgerOptions ledger;
  std::optional<uint64_t> limit;  // rows of each source
  std::optional<uint64_t> seed;   // in place of the file's
  // Rows worked on at once; 0: twice what the models take at once, at most kRowWorkersMax.
  int num_workers = 0;
  // A request to stop: what is finished stays, what is in flight is given up.
  std::stop_token stop;
  // A line for the user. Called from several threads, one at a time.
  std::function<void(std::string_view)> warn = [](std::string_view) {};
  // A row fails if its own `structured_output` would be warned of.
  bool strict = false;
  // Adds to run.json what only the caller knows (arguments, model loads).
  std::function<void(Json&)> amend_report = [](Json&) {};
};
inline constexpr int kRowWorkersMax = 256;

// What one step has done so far.
struct StepProgress {
  std::string name;
  std::string type;
  std::vector<size_t> after;  // in RunProgress::steps
  bool is_join = false;
  bool uses_model = false;
  bool is_root = false;  // a source, or a step that sees all rows at once
  bool ended = false;    // of a root: it has given all its rows
  uint64_t rows_in = 0;
  uint64_t rows_done = 0;  // of rows_in, whatever became of them
  uint64_t rows_out = 0;
  uint64_t rows_cached = 0;           // of rows_in, taken from the ledger
  uint64_t rows_failed = 0;           // of rows_in
  uint64_t rows_upstream_failed = 0;  // of rows_in: passed on, an input was missing
  uint64_t rows_dropped = 0;          // of rows_in: ended here (by on_error, a filter, a join)
  // Of rows_out, from the ledger or not: with an answer that max_new_tokens or the context ended,
  // and with a null among several answers.
  uint64_t rows_cut = 0;
  uint64_t rows_with_gaps = 0;
  std::map<std::string, uint64_t> failures;  // rows_failed by code
  uint64_t num_requests = 0;                 // answered by the model
  uint64_t num_requests_cached = 0;          // answered by the ledger
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;  // of the prompts, from the prefix cache
  uint64_t completion_tokens = 0;
};

struct ModelProgress {
  std::string name;
  std::string path;  // as the pipeline file says
  ModelDescription description;
  ModelStats stats;  // since the run began to use it
  int num_consumers = 0;
  // Mean number of sequences per engine step, until 90 % of the tokens were computed; 0 if the
  // model has no steps.
  double mean_sequences_until_90 = 0;
};

struct RunProgress {
  std::vector<StepProgress> steps;    // in file order
  std::vector<ModelProgress> models;  // those in use
  uint64_t families_begun = 0;        // source rows, and rows of steps that see all rows at once
  uint64_t families_done = 0;
  bool sources_ended = false;  // no more families will begin
  double wall_s = 0;
};

// A run warns if more of a step's rows than this hold an answer that was cut.
inline constexpr double kCutShareWarned = 0.05;

enum class RunOutcome {
  kDone,
  kDoneWithFailures,  // some row failed
  kNothingProduced,   // no row came out
  kInterrupted,       // by RunOptions::stop
  kStoppedByFailure,  // a row failed at a step with `on_error: fail`
};

// The exit status of `retort run`: 0, 1, 3, 130, 1.
int ExitStatus(RunOutcome outcome);
std::string_view RunOutcomeName(RunOutcome outcome);

struct RunReport {
  RunOutcome outcome = RunOutcome::kDone;
  RunProgress progress;
  std::vector<std::filesystem::path> outputs;  // finished, or partial if the run did not end
  uint64_t rows_written = 0;
  uint64_t rows_failed = 0;           // lines of failed.jsonl
  std::string stopped_by;             // of kStoppedByFailure: what failed
  bool moved_earlier_output = false;  // to `previous` in the output folder
  uint64_t peak_rss_bytes = 0;
  uint64_t peak_anonymous_bytes = 0;  // sampled
};

// As in run.json.
Json ToJson(const RunReport& report);
// Of a step, all that it was told to do, defaults included; in run.json beside what it did.
Json SettingsToJson(const Graph& graph, const GraphStep& step);
// A value for others to read: what stands under a name that means a secret ("api_key") is masked.
Json WithoutSecrets(Json value);
// The same of a `--set` argument.
std::string WithoutSecret(std::string_view override_text);

// One run of a checked graph. Rows flow: each goes on as soon as its own step is done, the oldest
// first. Rows come out in the order of the sources and of each expansion, whatever finished first.
//
// Repeatable: what a row becomes depends on the run's seed, the row, and the steps it went through.
// A finished generation is in the ledger, committed, before anyone hears of it, so a killed run
// that is started again repeats only what was in flight.
//
// Memory: a bounded number of families in flight, and all rows that wait for a step that sees all
// rows at once.
class PipelineRun {
 public:
  // Makes and locks the output folder, opens the ledger. `graph` and `models` must outlive the run.
  // Throws Error{kUnavailable} if another run has the folder; {kIo, kCorrupt} naming the file.
  PipelineRun(const Graph& graph, ModelSource& models, RunOptions options);
  ~PipelineRun();
  PipelineRun(const PipelineRun&) = delete;
  PipelineRun& operator=(const PipelineRun&) = delete;

  // Runs to the end, or until stopped; writes run.json. Once. A row's failure is part of the
  // report; throws Error for what stops everything (a source, a step that sees all rows, a model
  // that does not load, the disk).
  RunReport Execute();

  // Thread-safe, at any time.
  RunProgress progress() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace retort
