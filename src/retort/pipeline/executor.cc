#include "retort/pipeline/executor.h"

#include <fmt/chrono.h>
#include <algorithm>

#include <chrono>
#include <ctime>
#include <thread>
#include <unordered_map>

#include "retort/base/digest.h"
#include "retort/base/file.h"
#include "retort/base/mapped_file.h"
#include "retort/pipeline/output_sequencer.h"
#include "retort/pipeline/record_codec.h"
#include "retort/pipeline/router.h"
#include "retort/pipeline/row_columns.h"
#include "retort/pipeline/run_sampler.h"
#include "retort/pipeline/step_runner.h"
#include "retort/pipeline/task_queue.h"

namespace retort {
namespace {

// Families in flight per worker: enough that a slow oldest one does not hold the others up, which
// may only be written after it.
constexpr uint64_t kFamiliesPerWorker = 16;
constexpr uint64_t kFamiliesMin = 256;
constexpr int kDefaultSequences = 32;          // of a model that does not say
constexpr size_t kWarningsReportedMax = 1000;  // a source may warn of every line
constexpr auto kSampleInterval = std::chrono::milliseconds(100);

int NumWorkers(const Graph& graph, int asked) {
  if (asked > 0) return std::min(asked, kRowWorkersMax);
  int sequences = 0;
  for (const std::string& name : graph.UsedModels()) {
    sequences += graph.config.FindModel(name)->engine.max_num_seqs.value_or(kDefaultSequences);
  }
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(2 * sequences, std::max(1, cores), kRowWorkersMax);
}

// "2026-01-31T12:00:00Z".
std::string UtcNow() { return fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr))); }

// So many files of each source are described in the report, the others counted.
constexpr size_t kFilesDescribedMax = 1000;

// Describes a file that rows came from. One that is gone meanwhile is named only.
Json DescribeInput(const std::filesystem::path& file, uint64_t num_rows) {
  Json json = {{"path", std::filesystem::absolute(file).string()}, {"rows", num_rows}};
  try {
    const MappedFile mapped(file);
    json["bytes"] = mapped.bytes().size();
    json["sha256"] = Sha256().Add(mapped.bytes()).Hex();
  } catch (const Error&) {
    json["sha256"] = nullptr;
  }
  return json;
}

}  // namespace

class PipelineRun::Impl {
 public:
  Impl(const Graph& graph, ModelSource& models, RunOptions options)
      : graph_(graph),
        options_(std::move(options)),
        seed_(options_.seed.value_or(graph.config.seed)),
        num_workers_(NumWorkers(graph, options_.num_workers)),
        router_(graph) {
    MakeFolder();
    lock_.emplace(options_.output_dir);
    if (options_.cache_path) {
      options_.ledger.guard = [this] {
        for (const auto& model : models_) model->CheckUnchanged();
      };
      ledger_ = std::make_unique<Ledger>(*options_.cache_path, options_.ledger);
    }
    for (const std::string& name : graph.UsedModels()) {
      models_.push_back(std::make_unique<ModelSlot>(name, models));
    }
    for (const GraphStep& step : graph.steps) MakeStep(step);
    const uint64_t window =
        std::max(kFamiliesMin, kFamiliesPerWorker * static_cast<uint64_t>(num_workers_));
    sequencer_.emplace(graph, options_.output_dir, window);
    runner_.emplace(ledger_.get(), halt_.get_token());
  }

  RunReport Execute() {
    begun_at_ = std::chrono::steady_clock::now();
    started_at_ = UtcNow();
    std::stop_callback forward(options_.stop, [this] { Halt(); });
    {
      Ticker ticker(kSampleInterval, [this] { Sample(); });
      std::vector<std::thread> workers;
      try {
        for (int i = 0; i < num_workers_; ++i) workers.emplace_back([this] { Work(); });
        Feed();
      } catch (const std::exception&) {
        StopWith(CurrentError());
      }
      queue_.Close();
      for (std::thread& worker : workers) worker.join();
    }
    Sample();
    return Finish();
  }

  RunProgress progress() const {
    RunProgress progress;
    for (const auto& step : steps_) {
      progress.steps.push_back(step->counters.Snapshot(*step->graph));
    }
    for (size_t i = 0; i < models_.size(); ++i) {
      ModelProgress model;
      model.name = models_[i]->name();
      model.path = graph_.config.FindModel(model.name)->path;
      model.num_consumers = models_[i]->num_consumers;
      model.description = models_[i]->description();
      model.stats = models_[i]->StatsSince();
      model.mean_sequences_until_90 = models_[i]->MeanSequencesUntil(0.9);
      progress.models.push_back(std::move(model));
    }
    progress.families_begun = sequencer_->num_begun();
    progress.families_done = sequencer_->num_written();
    progress.sources_ended = sources_ended_;
    const std::chrono::steady_clock::time_point begun_at = begun_at_;
    if (begun_at != std::chrono::steady_clock::time_point()) {
      progress.wall_s =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_at).count();
    }
    return progress;
  }

 private:
  void MakeFolder() const {
    std::error_code failure;
    std::filesystem::create_directories(options_.output_dir, failure);
    if (failure) {
      Throw(ErrorCode::kIo, "cannot make the output folder '{}': {}", options_.output_dir.string(),
            failure.message());
    }
  }

  void MakeStep(const GraphStep& step) {
    auto runtime = std::make_unique<StepRuntime>();
    runtime->graph = &step;
    runtime->step = step.type->create(step.params);
    runtime->sampling = ToSamplingParams(step.generation);
    runtime->use_cache = step.config.use_cache;
    if (!step.structured_output.column.empty()) {
      runtime->row_schemas.emplace(options_.strict, MakeContext(step).warn);
    }
    if (step.model_use != ModelUse::kNone) {
      for (const auto& model : models_) {
        if (model->name() == step.config.llm) runtime->model = model.get();
      }
      ++runtime->model->num_consumers;
    }
    steps_.push_back(std::move(runtime));
  }

  // Ends the run without an error.
  void Halt() {
    halt_.request_stop();
    queue_.Close();
    sequencer_->Halt();
  }

  // Ends the run; the first error is the one that Execute() throws.
  void StopWith(Error error) {
    {
      std::lock_guard lock(stop_mutex_);
      if (!error_ && !stopped_by_ && !halt_.stop_requested()) error_ = std::move(error);
    }
    Halt();
  }

  void StopAfterFailure(const FailureRecord& failure, uint64_t family) {
    {
      std::lock_guard lock(stop_mutex_);
      if (error_ || stopped_by_ || halt_.stop_requested()) return;
      stopped_by_ = fmt::format("step '{}', row {}: {}", failure.step,
                                PathText(family, failure.path), failure.error.message());
    }
    sequencer_->WriteFailure(failure, family);
    Halt();
  }

  void Warn(std::string_view line) {
    std::lock_guard lock(warn_mutex_);
    if (warnings_.size() < kWarningsReportedMax) warnings_.emplace_back(line);
    options_.warn(line);
  }

  StepContext MakeContext(const GraphStep& step) {
    StepContext context;
    context.base_dir = graph_.config.base_dir.string();
    context.seed = seed_;
    context.cancelled = [this] { return halt_.stop_requested(); };
    context.warn = [this, &step](std::string_view line) {
      Warn(fmt::format("step '{}': {}", step.name(), line));
    };
    context.note_file = [this, &step](const std::filesystem::path& file, uint64_t num_rows) {
      Json& files = files_[step.name()];
      if (files.size() < kFilesDescribedMax) {
        files.push_back(DescribeInput(file, num_rows));
      } else {
        ++files_left_out_[step.name()];
      }
    };
    return context;
  }

  // Runs the sources and the steps that see all rows, in order, on the thread of Execute().
  void Feed() {
    std::map<size_t, uint64_t> families_end;  // root → number after its last family
    for (const size_t index : graph_.order) {
      if (!graph_.steps[index].is_root() || halt_.stop_requested()) continue;
      if (graph_.steps[index].kind() == StepKind::kSource) {
        ReadSource(index);
      } else {
        uint64_t needed = 0;
        for (const size_t before : graph_.steps[index].after) {
          for (const size_t root : graph_.steps[before].roots) {
            needed = std::max(needed, families_end[root]);
          }
        }
        if (!sequencer_->WaitWritten(needed)) return;
        RunGlobal(index);
      }
      steps_[index]->counters.ended = true;
      families_end[index] = sequencer_->num_begun();
    }
    sources_ended_ = true;
    sequencer_->WaitWritten(sequencer_->num_begun());
  }

  void ReadSource(size_t index) {
    StepRuntime& step = *steps_[index];
    const StepContext context = MakeContext(*step.graph);
    uint64_t num_rows = 0;
    if (options_.limit == 0) return;
    try {
      dynamic_cast<SourceStep&>(*step.step).Read(context, [&](Row row) {
        ++num_rows;
        const bool wanted = !options_.limit || num_rows < *options_.limit;
        try {
          ToColumnNames(*step.graph, row);
        } catch (const Error& error) {
          const LineageKey key = SourceKey(row);
          return FailRow(index, std::move(row), key, error) && wanted;
        }
        ++step.counters.rows_out;
        const LineageKey key = SourceKey(row);
        return BeginFamily(index, std::move(row), key, false) && wanted;
      });
    } catch (const std::exception&) {
      const Error error = CurrentError();
      Throw(error.code(), "step '{}': {}", step.graph->name(), error.message());
    }
  }

  // The same row has the same key wherever it comes from; equal rows are told apart by their
  // number, so adding or removing other rows changes no key.
  LineageKey SourceKey(const Row& row) {
    Sha256 content;
    const LineageKey content_key = FinishKey(content.Field(EncodeRow(row)));
    Sha256 digest;
    digest.Field("source").Field(seed_).Field(content_key.view());
    return FinishKey(digest.Field(static_cast<uint64_t>(occurrences_[content_key.Bits()]++)));
  }

  bool BeginFamily(size_t root, Row row, const LineageKey& key, bool failed) {
    auto family = sequencer_->Begin();
    if (!family) return false;
    Item item;
    item.family = family;
    item.row = std::move(row);
    item.key = key;
    item.failed = failed;
    std::vector<Item> results;
    results.push_back(std::move(item));
    RouteFromRoot(root, family, std::move(results));
    return !halt_.stop_requested();
  }

  // A row on which a source or a step that sees all rows failed. It ends there: what follows could
  // not tell its columns.
  bool FailRow(size_t root, Row row, const LineageKey& key, const Error& error) {
    auto family = sequencer_->Begin();
    if (!family) return false;
    Task task;
    task.step = root;
    task.item.family = family;
    task.item.row = std::move(row);
    task.item.key = key;
    StepOutcome outcome;
    outcome.kind = StepOutcome::Kind::kFailed;
    outcome.error = error;
    if (!Record(task, outcome)) return false;
    ++steps_[root]->counters.rows_dropped;
    RouteFromRoot(root, family, {});
    return !halt_.stop_requested();
  }

  void RouteFromRoot(size_t root, const std::shared_ptr<Family>& family,
                     std::vector<Item> results) {
    Item token;  // stands for the root's own work, so that the family does not end before it begins
    token.family = family;
    family->num_pending = 1;
    std::vector<Item> tokens;
    tokens.push_back(std::move(token));
    RouteOn(root, std::move(tokens), std::move(results), nullptr);
  }

  void RunGlobal(size_t index) {
    StepRuntime& step = *steps_[index];
    std::vector<GlobalInput> inputs = sequencer_->TakeInputs(index);
    Sha256 digest;
    digest.Field("global").Field(step.key().view());
    std::vector<Row> rows;
    std::vector<LineageKey> keys;
    std::vector<bool> failed;
    step.counters.rows_in += inputs.size();
    for (GlobalInput& input : inputs) {
      // A row that lacks a column looks like one whose step failed.
      for (const ColumnBinding& needed : step.graph->inputs) {
        if (!input.row.contains(needed.column)) input.row[needed.column] = nullptr;
      }
      try {
        CheckReplaced(*step.graph, input.row);
        ToOwnNames(*step.graph, input.row);
      } catch (const Error& error) {
        ++step.counters.rows_done;
        if (!FailRow(index, std::move(input.row), input.key, error)) return;
        continue;
      }
      digest.Field(input.key.view());
      keys.push_back(input.key);
      failed.push_back(input.failed);
      rows.push_back(std::move(input.row));
    }
    inputs.clear();
    inputs.shrink_to_fit();
    const LineageKey all_key = FinishKey(digest);
    std::vector<GlobalStep::Output> outputs;
    try {
      outputs = dynamic_cast<const GlobalStep&>(*step.step)
                    .Process(std::move(rows), MakeContext(*step.graph));
    } catch (const std::exception&) {
      const Error error = CurrentError();
      Throw(error.code(), "step '{}': {}", step.graph->name(), error.message());
    }
    step.counters.rows_done += keys.size();
    step.counters.rows_out += outputs.size();
    if (outputs.size() < keys.size()) step.counters.rows_dropped += keys.size() - outputs.size();
    std::unordered_map<size_t, uint64_t> uses;
    for (GlobalStep::Output& output : outputs) {
      if (output.input_index >= keys.size()) {
        Throw(ErrorCode::kInternal, "step '{}' says row {} of {} is where a row came from",
              step.graph->name(), output.input_index, keys.size());
      }
      Sha256 row_digest;
      row_digest.Field(all_key.view())
          .Field(keys[output.input_index].view())
          .Field(uses[output.input_index]++);
      const LineageKey key = FinishKey(row_digest);
      std::optional<Error> clash;
      try {
        ToColumnNames(*step.graph, output.row);
      } catch (const Error& error) {
        clash = error;
        --step.counters.rows_out;
      }
      const bool going =
          clash ? FailRow(index, std::move(output.row), key, *clash)
                : BeginFamily(index, std::move(output.row), key, failed[output.input_index]);
      if (!going) return;
    }
  }

  void Work() {
    try {
      while (auto task = queue_.Pop()) {
        std::optional<Task> next = std::move(task);
        // A row stays with its worker while there is a next step for it.
        while (next && !halt_.stop_requested()) next = RunTask(std::move(*next));
      }
    } catch (const std::exception&) {
      StopWith(CurrentError());
    }
  }

  std::optional<Task> RunTask(Task task) {
    return task.group ? RunJoin(task) : RunStep(std::move(task));
  }

  std::optional<Task> RunStep(Task task) {
    StepRuntime& step = *steps_[task.step];
    ++step.counters.rows_in;
    StepOutcome outcome = runner_->Run(step, task.item);
    if (outcome.kind == StepOutcome::Kind::kCancelled) return std::nullopt;
    if (outcome.kind == StepOutcome::Kind::kFatal) {
      StopWith(*outcome.error);
      return std::nullopt;
    }
    if (outcome.kind == StepOutcome::Kind::kFailed && !Record(task, outcome)) return std::nullopt;
    Count(step, outcome);
    std::vector<Item> items;
    items.push_back(std::move(task.item));
    std::optional<Task> next;
    RouteOn(task.step, std::move(items), std::move(outcome.results), &next);
    return next;
  }

  std::optional<Task> RunJoin(const Task& task) {
    StepRuntime& step = *steps_[task.step];
    ++step.counters.rows_in;
    std::vector<Item> items;
    std::string missing;
    std::string several;
    for (size_t branch = 0; branch < task.group->arrived.size(); ++branch) {
      std::vector<Item>& arrived = task.group->arrived[branch];
      const std::string& name = graph_.steps[step.graph->after[branch]].name();
      if (arrived.empty()) missing = name;
      if (arrived.size() > 1) several = fmt::format("{} rows from '{}'", arrived.size(), name);
      for (Item& item : arrived) items.push_back(std::move(item));
    }
    StepOutcome outcome;
    if (!several.empty()) {
      outcome.kind = StepOutcome::Kind::kFailed;
      outcome.error =
          Error(ErrorCode::kInvalid,
                fmt::format("a join takes one row per branch of a row, but got {}", several));
    } else if (missing.empty()) {
      outcome = runner_->Join(step, items);
    }  // else a branch dropped the row: so does the join
    if (outcome.kind == StepOutcome::Kind::kFailed && !Record(task, outcome)) return std::nullopt;
    Count(step, outcome);
    std::optional<Task> next;
    RouteOn(task.step, std::move(items), std::move(outcome.results), &next);
    return next;
  }

  // Keeps a failure with its family; false if it stops the run.
  bool Record(const Task& task, StepOutcome& outcome) {
    StepRuntime& step = *steps_[task.step];
    step.counters.CountFailure(outcome.error->code());
    FailureRecord failure{step.graph->name(), task.rank,   task.item.path, task.item.key,
                          *outcome.error,     outcome.raw, task.item.row};
    Family& family = *task.item.family;
    if (step.graph->config.on_error == OnError::kFail) {
      StopAfterFailure(failure, family.number);
      return false;
    }
    std::lock_guard lock(family.mutex);
    family.failures.push_back(std::move(failure));
    return true;
  }

  static void Count(StepRuntime& step, const StepOutcome& outcome) {
    step.counters.rows_out += outcome.results.size();
    if (outcome.results.empty()) ++step.counters.rows_dropped;
    ++step.counters.rows_done;
  }

  // Sends results on; keeps the first task for the caller, if it wants one.
  void RouteOn(size_t step, std::vector<Item> items, std::vector<Item> results,
               std::optional<Task>* keep) {
    const std::shared_ptr<Family> family = items.front().family;
    bool family_ended = false;
    std::vector<Task> tasks =
        router_.Route(step, std::move(items), std::move(results), family_ended);
    for (size_t i = 0; i < tasks.size(); ++i) {
      if (keep != nullptr && i == 0) {
        *keep = std::move(tasks[i]);
      } else {
        queue_.Push(std::move(tasks[i]));
      }
    }
    if (family_ended) sequencer_->End(family);
  }

  void Sample() {
    try {
      lock_->CheckStillThere();  // a run that writes late would learn it late
    } catch (const Error& error) {
      StopWith(error);
    }
    const ProcessMemory memory = ReadProcessMemory();
    std::lock_guard lock(sample_mutex_);
    peak_rss_ = std::max(peak_rss_, memory.peak_rss);
    peak_anonymous_ = std::max(peak_anonymous_, memory.anonymous);
  }

  RunReport Finish() {
    RunReport report;
    if (ledger_ && !error_) {
      try {
        ledger_->Flush();
      } catch (const Error& error) {
        error_ = error;
      }
    }
    const bool interrupted = halt_.stop_requested() && !error_ && !stopped_by_;
    const bool whole = !error_ && !stopped_by_ && !interrupted;
    bool has_room = false;  // else the earlier run.json is needed still
    try {
      report.moved_earlier_output =
          MoveEarlierOutput(options_.output_dir, sequencer_->MadeFiles(whole));
      has_room = true;
      sequencer_->Finish(whole);
    } catch (const Error& error) {
      if (!error_) error_ = error;
    }
    report.progress = progress();
    for (const StepProgress& step : report.progress.steps) WarnOfAnswers(step);
    report.outputs = sequencer_->OutputPaths();
    report.rows_written = sequencer_->rows_written();
    report.rows_failed = sequencer_->rows_failed();
    report.peak_rss_bytes = peak_rss_;
    report.peak_anonymous_bytes = peak_anonymous_;
    if (stopped_by_) {
      report.outcome = RunOutcome::kStoppedByFailure;
      report.stopped_by = *stopped_by_;
    } else if (interrupted) {
      report.outcome = RunOutcome::kInterrupted;
    } else if (report.rows_written == 0) {
      report.outcome = RunOutcome::kNothingProduced;
    } else if (report.rows_failed > 0) {
      report.outcome = RunOutcome::kDoneWithFailures;
    }
    if (has_room) WriteReport(report);
    if (error_) throw *error_;
    return report;
  }

  void WarnOfAnswers(const StepProgress& step) {
    const auto rows = static_cast<double>(step.rows_out);
    if (static_cast<double>(step.rows_cut) > kCutShareWarned * rows) {
      const GraphStep& graph_step = *graph_.Find(step.name);
      Warn(fmt::format(
          "step '{}': in {} of {} rows an answer was cut after max_new_tokens ({}) or at "
          "the context's end: raise max_new_tokens, or ask for less",
          step.name, step.rows_cut, step.rows_out,
          ToSamplingParams(graph_step.generation).max_new_tokens));
    }
    if (step.rows_with_gaps > 0) {
      Warn(fmt::format(
          "step '{}': in {} of {} rows one of several answers is missing: it was empty, "
          "or not what structured_output asks for",
          step.name, step.rows_with_gaps, step.rows_out));
    }
  }

  void WriteReport(const RunReport& report) {
    Json json = ToJson(report);
    json["started_at"] = started_at_;
    json["ended_at"] = UtcNow();
    json["pipeline"] = graph_.config.name;
    json["pipeline_file"] = graph_.config.file.string();
    json["pipeline_sha256"] = graph_.config.digest;
    for (size_t i = 0; i < graph_.steps.size(); ++i) {
      json["steps"][i]["settings"] = SettingsToJson(graph_, graph_.steps[i]);
      const auto files = files_.find(graph_.steps[i].name());
      if (files != files_.end()) json["steps"][i]["files"] = files->second;
      const auto left_out = files_left_out_.find(graph_.steps[i].name());
      if (left_out != files_left_out_.end()) json["steps"][i]["files_left_out"] = left_out->second;
    }
    json["seed"] = seed_;
    json["workers"] = num_workers_;
    if (ledger_) json["cache"] = ledger_->path().string();
    if (error_) {
      json["outcome"] = "error";
      json["error"] = {{"code", std::string(ErrorCodeName(error_->code()))},
                       {"message", error_->message()}};
    }
    json["warnings"] = warnings_;
    options_.amend_report(json);
    try {
      WriteFileAtomically(options_.output_dir / "run.json",
                          json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    } catch (const Error& error) {
      if (!error_) throw;  // else the disk is what stopped the run, and that is said already
    }
  }

  const Graph& graph_;
  RunOptions options_;
  uint64_t seed_;
  int num_workers_;
  Router router_;
  std::optional<FolderLock> lock_;
  std::stop_source halt_;
  std::vector<std::unique_ptr<ModelSlot>> models_;
  std::unique_ptr<Ledger> ledger_;  // behind the models, which it looks at until its end
  std::vector<std::unique_ptr<StepRuntime>> steps_;
  std::optional<OutputSequencer> sequencer_;
  std::optional<StepRunner> runner_;
  TaskQueue queue_;
  std::unordered_map<uint64_t, uint32_t> occurrences_;  // of equal source rows, by content
  std::atomic<std::chrono::steady_clock::time_point> begun_at_ =
      std::chrono::steady_clock::time_point();
  std::atomic<bool> sources_ended_ = false;
  std::string started_at_;

  std::mutex stop_mutex_;
  std::optional<Error> error_;
  std::optional<std::string> stopped_by_;
  std::mutex warn_mutex_;
  std::vector<std::string> warnings_;
  // Step → the files that it read, and how many more; of the thread of Execute().
  std::map<std::string, Json> files_;
  std::map<std::string, uint64_t> files_left_out_;

  mutable std::mutex sample_mutex_;
  uint64_t peak_rss_ = 0;
  uint64_t peak_anonymous_ = 0;
};

PipelineRun::PipelineRun(const Graph& graph, ModelSource& models, RunOptions options)
    : impl_(std::make_unique<Impl>(graph, models, std::move(options))) {}
PipelineRun::~PipelineRun() = default;

RunReport PipelineRun::Execute() { return impl_->Execute(); }
RunProgress PipelineRun::progress() const { return impl_->progress(); }

}  // namespace retort
