#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "retort/pipeline/graph.h"

namespace retort {

// What a step would do, as far as can be said without a model.
struct PlannedStep {
  std::string name;
  std::string type;
  std::string model;  // "" if it uses none
  std::vector<std::string> after;
  std::vector<std::string> columns;  // of the rows that leave it
  uint64_t rows_in = 0;              // estimated from the first row
  uint64_t rows_out = 0;
  uint64_t num_requests = 0;
  // Of the first row; columns that a model would have written hold "<column of step>".
  std::optional<std::string> prompt;
  std::string note;  // why there is no prompt, or why the numbers are a guess; else ""
};

struct RunPlan {
  std::vector<PlannedStep> steps;  // in the order they run
  std::vector<ModelConfig> models;
  uint64_t num_source_rows = 0;
  uint64_t num_requests = 0;
};

// Reads the sources (at most `limit` rows of each), and takes the first row through the graph with
// made-up answers. Loads nothing, writes nothing. Throws Error for a source that fails, and
// {kCancelled} soon after `stop`.
RunPlan PlanRun(const Graph& graph, std::optional<uint64_t> limit, std::stop_token stop = {});

// The plan for a terminal.
std::string ToText(const RunPlan& plan);

}  // namespace retort
