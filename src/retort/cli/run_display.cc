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
#include <numeric>

#include "retort/base/log.h"
#include "retort/cli/standard_streams.h"
#include "retort/cli/table.h"

namespace retort {
namespace {

constexpr auto kRedrawInterval = std::chrono::milliseconds(200);
constexpr auto kLineInterval = std::chrono::seconds(10);
constexpr size_t kBarWidth = 20;
constexpr size_t kNameWidthMin = 8;

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

bool AtWork(const StepProgress& step) {
  return step.is_root ? !step.ended : step.rows_done < step.rows_in;
}

// Which steps are shown where there is room for `num_shown`: in file order, those at work first,
// then those that wait, then those that are done.
std::vector<size_t> ShownSteps(const RunProgress& progress, size_t num_shown) {
  const auto rank = [](const StepProgress& step) {
    if (AtWork(step)) return 0;
    return step.rows_in == 0 && !step.ended ? 1 : 2;
  };
  std::vector<size_t> shown(progress.steps.size());
  std::iota(shown.begin(), shown.end(), size_t{0});
  if (shown.size() <= num_shown) return shown;
  std::stable_sort(shown.begin(), shown.end(), [&](size_t a, size_t b) {
    return rank(progress.steps[a]) < rank(progress.steps[b]);
  });
  shown.resize(num_shown);
  std::sort(shown.begin(), shown.end());
  return shown;
}

}  // namespace

std::vector<std::string> ProgressLines(const RunProgress& progress, size_t width,
                                       size_t num_lines) {
  // The line for the whole, and that for the steps that have none.
  const size_t num_steps = progress.steps.size();
  const size_t num_shown = num_steps < num_lines ? num_steps : num_lines < 2 ? 0 : num_lines - 2;
  const std::vector<size_t> shown = ShownSteps(progress, num_shown);
  size_t name_width = 0;
  for (const size_t i : shown) {
    name_width = std::max(name_width, DisplayWidth(progress.steps[i].name));
  }
  name_width = std::min(name_width, std::max(kNameWidthMin, width / 3));
  std::vector<std::string> lines;
  Forecast forecast(progress);
  for (const size_t i : shown) {
    const StepProgress& step = progress.steps[i];
    const std::string name = CutMiddle(step.name, name_width);
    std::string line =
        fmt::format("{}{}  {} {:>7} rows", name, std::string(name_width - DisplayWidth(name), ' '),
                    Bar(forecast.Share(i)), FormatCount(step.rows_out));
    if (step.rows_cached > 0) line += fmt::format(", {} from cache", FormatCount(step.rows_cached));
    if (step.rows_failed > 0) line += fmt::format(", {} failed", FormatCount(step.rows_failed));
    if (step.completion_tokens > 0) {
      line += fmt::format(", {} tokens", FormatCount(step.completion_tokens));
    }
    lines.push_back(CutEnd(line, width));
  }
  if (shown.size() < num_steps && num_lines >= 2) {
    lines.push_back(
        CutEnd(fmt::format("... and {}", CountOf(num_steps - shown.size(), "step")), width));
  }
  const double rate =
      progress.wall_s > 0 ? static_cast<double>(CompletionTokens(progress)) / progress.wall_s : 0;
  lines.push_back(CutEnd(fmt::format("{}, {:.0f} tokens/s{}", FormatSeconds(progress.wall_s), rate,
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
    // A line that fills the last column, or a frame as high as the terminal, would scroll it.
    const TerminalSize size = StderrSize();
    const auto lines = ProgressLines(run.progress(), size.columns - 1, size.lines - 1);
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

TerminalSize StderrSize() {
  winsize size = {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0) return {};
  // A terminal that says nothing of itself counts as the least one that there was.
  return {.columns = size.ws_col < 2 ? size_t{80} : size.ws_col,
          .lines = size.ws_row < 2 ? size_t{24} : size.ws_row};
}

std::string ReportText(const RunReport& report, uint64_t num_model_loads, size_t width) {
  Table steps({"step", "in", "out", "cached", "failed", "passed on", "dropped", "cut", "gaps",
               "answers", "from ledger", "tokens"});
  for (const StepProgress& step : report.progress.steps) {
    std::string failed = FormatCount(step.rows_failed);
    for (const auto& [code, count] : step.failures) failed += fmt::format(" {}:{}", code, count);
    steps.AddRow({step.name, FormatCount(step.rows_in), FormatCount(step.rows_out),
                  FormatCount(step.rows_cached), failed, FormatCount(step.rows_upstream_failed),
                  FormatCount(step.rows_dropped), FormatCount(step.rows_cut),
                  FormatCount(step.rows_with_gaps), FormatCount(step.num_requests),
                  FormatCount(step.num_requests_cached), FormatCount(step.completion_tokens)});
  }
  std::string text = "\n" + steps.Text(width);
  const double wall_s = report.progress.wall_s;
  for (const ModelProgress& model : report.progress.models) {
    const ModelStats& stats = model.stats;
    const auto ratio = [](double a, double b) { return b > 0 ? a / b : 0; };
    text += fmt::format(
        "\nmodel {} ({}), {}\n"
        "  tokens            {} in ({:.0f} % from the prefix cache), {} out, {:.0f} out/s\n"
        "  engine            {} steps, busy {:.1f} % of the time\n"
        "  sequences         {:.1f} per step, {:.1f} until 90 % of the tokens were made\n"
        "  memory            {} weights, {} keys and values\n",
        model.name, model.description.dispatch_level, CountOf(model.num_consumers, "consumer"),
        FormatCount(stats.prompt_tokens), 100 * ratio(stats.cached_tokens, stats.prompt_tokens),
        FormatCount(stats.completion_tokens), ratio(stats.completion_tokens, wall_s),
        FormatCount(stats.num_steps), 100 * ratio(stats.busy_ns / 1e9, wall_s),
        ratio(stats.num_step_sequences, stats.num_steps), model.mean_sequences_until_90,
        FormatBytes(stats.weight_bytes), FormatBytes(stats.kv_bytes));
  }
  text += fmt::format("\n{} in {}: {}, {} failed; model loads {}\npeak memory {} ({} anonymous)\n",
                      RunOutcomeName(report.outcome), FormatSeconds(wall_s),
                      CountOf(report.rows_written, "row"), FormatCount(report.rows_failed),
                      num_model_loads, FormatBytes(report.peak_rss_bytes),
                      FormatBytes(report.peak_anonymous_bytes));
  for (const auto& path : report.outputs) text += fmt::format("  {}\n", path.string());
  return text;
}

}  // namespace retort
