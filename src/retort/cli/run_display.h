#pragma once

#include <string>
#include <thread>

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

// The bars, one line per step and one for the whole, at most `width` columns each.
std::vector<std::string> ProgressLines(const RunProgress& progress, size_t width);
// The same in one line: "evolve 12, score 3; 812 tokens/s; 2 failed".
std::string ProgressLine(const RunProgress& progress);

// The table at the end of a run.
std::string ReportText(const RunReport& report, uint64_t num_model_loads);

}  // namespace retort
