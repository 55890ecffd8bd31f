#include "retort/cli/run_display.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <mutex>

#include "retort/base/log.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/table.h"

namespace retort {
namespace {

constexpr auto kRedrawInterval = std::chrono::milliseconds(200);
constexpr auto kLineInterval = std::chrono::seconds(10);
constexpr size_t kBarWidth = 20;

// What decides how long a token takes: one that is answered costs about as much as this many that
// are only read, which share their pass over the weights.
constexpr double kReadTokensPerAnswered = 4;

// What each step will have taken in at the end of what has begun, as far as can be told: what the
// steps before it will have given, each at the rate it gave so far.
class Forecast {
 public:
  explicit Forecast(const RunProgress& progress)
      : progress_(progress), rows_in_(progress.steps.size(), -1) {}

  double RowsIn(size_t index) {
    if (rows_in_[index] >= 0) return rows_in_[index];
    const StepProgress& step = progress_.steps[index];
    double rows = 0;
    for (const size_t before : step.after) {
      rows = step.is_join ? std::max(rows, RowsOut(before)) : rows + RowsOut(before);
    }
    return rows_in_[index] = std::max(rows, static_cast<double>(step.rows_in));
  }

  double RowsOut(size_t index) {
    const StepProgress& step = progress_.steps[index];
    const auto rows_out = static_cast<double>(step.rows_out);
    if (step.after.empty()) return rows_out;
    if (step.rows_done == 0) return RowsIn(index);
    return RowsIn(index) * rows_out / static_cast<double>(step.rows_done);
  }

  double Share(size_t index) {
    const StepProgress& step = progress_.steps[index];
    if (step.is_root) return step.ended ? 1 : 0;
    const double rows = RowsIn(index);
    return rows > 0 ? static_cast<double>(step.rows_done) / rows : 0;
  }

  // Of the models' work in the run; 0: cannot be told yet.
  double ShareOfWork() {
    double done = 0;
    double all = 0;
    for (size_t i = 0; i < progress_.steps.size(); ++i) {
      const StepProgress& step = progress_.steps[i];
      if (!step.uses_model) continue;
      if (step.rows_done == 0) return 0;
      const double work =
          static_cast<double>(step.completion_tokens) +
          static_cast<double>(step.prompt_tokens - step.cached_tokens) / kReadTokensPerAnswered;
      done += work;
      all += work * RowsIn(i) / static_cast<double>(step.rows_done);
    }
    return all > 0 ? done / all : 0;
  }

 private:
  const RunProgress& progress_;
  std::vector<double> rows_in_;  // -1: not computed
};

std::string Bar(double share) {
  const auto filled = static_cast<size_t>(std::lround(std::clamp(share, 0.0, 1.0) * kBarWidth));
  std::string bar;
  for (size_t i = 0; i < kBarWidth; ++i) bar += i < filled ? "█" : "░";
  return bar;
}

uint64_t CompletionTokens(const RunProgress& progress) {
  uint64_t tokens = 0;
  for (const ModelProgress& model : progress.models) tokens += model.stats.completion_tokens;
  return tokens;
}

std::string TimeLeft(const RunProgress& progress) {
  const double share = Forecast(progress).ShareOfWork();
  if (progress.wall_s < 2 || share <= 0 || share >= 1) return "";
  const bool all_read =
      std::all_of(progress.steps.begin(), progress.steps.end(),
                  [](const StepProgress& step) { return !step.after.empty() || step.ended; });
  return fmt::format(", about {} left{}", FormatSeconds(progress.wall_s / share - progress.wall_s),
                     all_read ? "" : " for what has begun");
}

size_t TerminalWidth() {
  winsize size = {};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 100;
}

std::string Cut(std::string line, size_t width) {
  size_t columns = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    if ((static_cast<unsigned char>(line[i]) & 0xC0) != 0x80 && ++columns > width) {
      line.resize(i);
      break;
    }
  }
  return line;
}

}  // namespace

std::vector<std::string> ProgressLines(const RunProgress& progress, size_t width) {
  size_t name_width = 0;
  for (const StepProgress& step : progress.steps) {
    name_width = std::max(name_width, DisplayWidth(step.name));
  }
  std::vector<std::string> lines;
  Forecast forecast(progress);
  for (size_t i = 0; i < progress.steps.size(); ++i) {
    const StepProgress& step = progress.steps[i];
    std::string line = fmt::format("{}{}  {} {:>7} rows", step.name,
                                   std::string(name_width - DisplayWidth(step.name), ' '),
                                   Bar(forecast.Share(i)), FormatCount(step.rows_out));
    if (step.rows_cached > 0) line += fmt::format(", {} from cache", FormatCount(step.rows_cached));
    if (step.rows_failed > 0) line += fmt::format(", {} failed", FormatCount(step.rows_failed));
    if (step.completion_tokens > 0) {
      line += fmt::format(", {} tokens", FormatCount(step.completion_tokens));
    }
    lines.push_back(Cut(std::move(line), width));
  }
  const double rate =
      progress.wall_s > 0 ? static_cast<double>(CompletionTokens(progress)) / progress.wall_s : 0;
  lines.push_back(Cut(fmt::format("{}, {:.0f} tokens/s{}", FormatSeconds(progress.wall_s), rate,
                                  TimeLeft(progress)),
                      width));
  return lines;
}

std::string ProgressLine(const RunProgress& progress) {
  std::vector<std::string> parts;
  uint64_t failed = 0;
  for (const StepProgress& step : progress.steps) {
    parts.push_back(fmt::format("{} {}", step.name, FormatCount(step.rows_out)));
    failed += step.rows_failed;
  }
  const double rate =
      progress.wall_s > 0 ? static_cast<double>(CompletionTokens(progress)) / progress.wall_s : 0;
  return fmt::format("{}: rows {}; {:.0f} tokens/s{}{}", FormatSeconds(progress.wall_s),
                     fmt::join(parts, ", "), rate,
                     failed > 0 ? fmt::format("; {} failed", failed) : "", TimeLeft(progress));
}

struct RunDisplay::State {
  const PipelineRun& run;
  bool terminal = false;
  std::mutex mutex;
  std::condition_variable_any wake;
  size_t lines_shown = 0;

  // Both with the mutex held.
  void Erase() {
    std::string text;
    for (size_t i = 0; i < lines_shown; ++i) text += "\x1b[1A\x1b[2K";
    lines_shown = 0;
    SendToTerminal(text);
  }
  void Draw() {
    std::string text;
    const auto lines = ProgressLines(run.progress(), TerminalWidth() - 1);
    for (const std::string& line : lines) text += line + "\n";
    Erase();
    NoteText(text);
    lines_shown = lines.size();
  }
};

RunDisplay::RunDisplay(const PipelineRun& run, bool quiet)
    : state_(new State{
          .run = run, .terminal = ::isatty(STDERR_FILENO) != 0, .mutex = {}, .wake = {}}) {
  if (quiet) return;
  if (state_->terminal) {
    SetLogSink([state = state_.get()](LogLevel, std::string_view line) {
      std::lock_guard lock(state->mutex);
      state->Erase();
      Note("{}\n", line);
      state->Draw();
    });
  }
  thread_ = std::jthread([state = state_.get()](const std::stop_token& stop) {
    std::unique_lock lock(state->mutex);
    while (!stop.stop_requested()) {
      const std::chrono::milliseconds interval =
          state->terminal ? kRedrawInterval : std::chrono::milliseconds(kLineInterval);
      state->wake.wait_for(lock, stop, interval, [] { return false; });
      if (state->terminal) {
        state->Draw();
      } else if (!stop.stop_requested()) {
        Note("{}\n", ProgressLine(state->run.progress()));
      }
    }
  });
}

RunDisplay::~RunDisplay() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  if (state_->terminal) SetLogSink(nullptr);
}

std::string ReportText(const RunReport& report, uint64_t num_model_loads) {
  Table steps({"step", "in", "out", "cached", "failed", "passed on", "dropped", "answers",
               "from ledger", "tokens"});
  for (const StepProgress& step : report.progress.steps) {
    std::string failed = FormatCount(step.rows_failed);
    for (const auto& [code, count] : step.failures) failed += fmt::format(" {}:{}", code, count);
    steps.AddRow({step.name, FormatCount(step.rows_in), FormatCount(step.rows_out),
                  FormatCount(step.rows_cached), failed, FormatCount(step.rows_upstream_failed),
                  FormatCount(step.rows_dropped), FormatCount(step.num_requests),
                  FormatCount(step.num_requests_cached), FormatCount(step.completion_tokens)});
  }
  std::string text = "\n" + steps.Text();
  const double wall_s = report.progress.wall_s;
  for (const ModelProgress& model : report.progress.models) {
    const ModelStats& stats = model.stats;
    const auto ratio = [](double a, double b) { return b > 0 ? a / b : 0; };
    text += fmt::format(
        "\nmodel {} ({}), {}\n"
        "  tokens            {} in ({:.0f} % from the prefix cache), {} out, {:.0f} out/s\n"
        "  engine            {} steps, {:.1f} sequences per step ({:.1f} until 90 % of the tokens "
        "were "
        "made), busy {:.1f} % of the time\n"
        "  memory            {} weights, {} keys and values\n",
        model.name, model.description.dispatch_level, CountOf(model.num_consumers, "consumer"),
        FormatCount(stats.prompt_tokens), 100 * ratio(stats.cached_tokens, stats.prompt_tokens),
        FormatCount(stats.completion_tokens), ratio(stats.completion_tokens, wall_s),
        FormatCount(stats.num_steps), ratio(stats.num_step_sequences, stats.num_steps),
        model.mean_sequences_until_90, 100 * ratio(stats.busy_ns / 1e9, wall_s),
        FormatBytes(stats.weight_bytes), FormatBytes(stats.kv_bytes));
  }
  text += fmt::format("\n{} in {}: {}, {} failed; model loads {}; peak memory {} ({} anonymous)\n",
                      RunOutcomeName(report.outcome), FormatSeconds(wall_s),
                      CountOf(report.rows_written, "row"), FormatCount(report.rows_failed),
                      num_model_loads, FormatBytes(report.peak_rss_bytes),
                      FormatBytes(report.peak_anonymous_bytes));
  for (const auto& path : report.outputs) text += fmt::format("  {}\n", path.string());
  return text;
}

}  // namespace retort
