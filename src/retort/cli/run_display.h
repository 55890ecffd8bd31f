#pragma once

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "retort/pipeline/executor.h"

namespace retort {

// Shows how a run goes on standard error while it lives: on a terminal a bar per step, redrawn in
// place; elsewhere a line now and then. Log lines are printed above the bars.
class RunDisplay {
 public:
  RunDisplay(const PipelineRun& run, bool quiet);
  ~RunDisplay();
  RunDisplay(const RunDisplay&) = delete;
  RunDisplay& operator=(const RunDisplay&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::jthread thread_;
};

// The bars, a line per step and one for the whole: at most `num_lines` of at most `width` columns
// each. Where there are more steps than lines, those at work are shown and the others counted.
std::vector<std::string> ProgressLines(const RunProgress& progress, size_t width, size_t num_lines);
// The same in one line: "evolve 12, score 3; 812 tokens/s; 2 failed".
std::string ProgressLine(const RunProgress& progress);

// The table at the end of a run, in lines of at most `width` columns as far as paths allow.
std::string ReportText(const RunReport& report, uint64_t num_model_loads, size_t width);

// Of the terminal that standard error goes to; without one as wide as need be, and high enough.
struct TerminalSize {
  size_t columns = SIZE_MAX;
  size_t lines = SIZE_MAX;
};
TerminalSize StderrSize();

}  // namespace retort
