#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "retort/pipeline/config.h"
#include "retort/pipeline/step.h"
#include "retort/pipeline/structured_output.h"

namespace retort {

// A column under the step's own name and under the data set's, as the mappings say.
struct ColumnBinding {
  std::string own;
  std::string column;
  bool required = true;      // of inputs: needed, or taken if there
  bool may_replace = false;  // of outputs: the graph has such a column, or the mappings name it

  bool operator==(const ColumnBinding&) const = default;
};

// A step of a checked graph. Steps are named by their index in Graph::steps, which is their place
// in the pipeline file.
struct GraphStep {
  StepConfig config;
  const StepType* type = nullptr;
  Params params{Json::object()};
  ModelUse model_use = ModelUse::kNone;
  GenerationSettings generation;  // the step's over its model's
  StructuredOutput structured_output;

  std::vector<size_t> after;  // predecessors, in the order given
  std::vector<size_t> next;   // successors, in file order

  std::vector<ColumnBinding> inputs;   // required ones first
  std::vector<ColumnBinding> outputs;  // added or replaced

  // Columns of the rows that leave the step. Not all are known (`columns_open`) if a source cannot
  // say which it has; then missing columns are found when a row arrives.
  std::vector<std::string> columns;
  bool columns_open = false;

  // Of a join: the step behind which its branches part. Rows are matched by the row that left it.
  std::optional<size_t> fork;
  // Of a join, per predecessor: columns that another branch replaced, so that its rows hold an old
  // value of them.
  std::vector<std::vector<std::string>> stale_columns;
  // The stream a row of this step belongs to: the nearest sources and global steps upstream of it
  // (itself, for one of those). Ascending.
  std::vector<size_t> roots;

  const std::string& name() const { return config.name; }
  StepKind kind() const { return type->kind; }
  bool is_root() const { return kind() == StepKind::kSource || kind() == StepKind::kGlobal; }
};

// A pipeline that passed every check which needs no model.
struct Graph {
  PipelineConfig config;
  std::vector<GraphStep> steps;
  std::vector<size_t> order;  // topological; among the possible ones, nearest to the file's

  const GraphStep* Find(std::string_view name) const;
  // Steps without successors: their rows are the run's output, in "NAME.jsonl".
  std::vector<size_t> Leaves() const;
  // Names of the models some step uses, in file order.
  std::vector<std::string> UsedModels() const;
};

struct GraphOptions {
  // Look at the first rows of each source whose columns are not known from its parameters: finds
  // missing files and columns before anything is loaded.
  bool peek_sources = true;
  bool strict = false;  // warnings are errors
  // Asks whoever opens models whether a model that some step uses can be opened, as far as that
  // can be told without opening it. What is wrong goes to the problems.
  std::function<void(const ModelConfig&, Problems&)> check_model = {};
};
inline constexpr size_t kPeekRows = 100;
inline constexpr size_t kStepsMax = 1000;

// Checks the whole graph and resolves every name. What is wrong is added to `problems`, one clear
// message each; the graph is fit to run only if problems.ok(). `types` must outlive the result.
Graph BuildGraph(PipelineConfig config, std::span<const StepType> types,
                 const GraphOptions& options, Problems& problems);

// Reads, checks and builds in one go; throws Error with every problem, one per line. Warnings go to
// `warnings`, if given.
Graph LoadPipeline(const std::filesystem::path& file, const ConfigOverrides& overrides,
                   std::span<const StepType> types, const GraphOptions& options = {},
                   std::vector<Problem>* warnings = nullptr);

// The graph as a Mermaid flowchart, or in Graphviz's language. Names are escaped.
std::string ToMermaid(const Graph& graph);
std::string ToDot(const Graph& graph);

}  // namespace retort
