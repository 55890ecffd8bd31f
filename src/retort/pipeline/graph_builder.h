#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "retort/pipeline/graph.h"

namespace retort {

// The stages of BuildGraph(), each of which needs the ones before it to have gone well enough.
class GraphBuilder {
 public:
  GraphBuilder(PipelineConfig config, std::span<const StepType> types, const GraphOptions& options,
               Problems& problems);

  Graph Build();

 private:
  GraphStep& step(size_t index) { return graph_.steps[index]; }
  const Mark& MarkOf(size_t index) const { return graph_.steps[index].config.mark; }
  std::string NamesOf(const std::vector<size_t>& steps) const;

  void CheckNames();
  void ResolveType(size_t index);
  void ResolveModel(size_t index);
  void CheckModels();
  void Connect(size_t index);
  void ConnectTo(size_t index, const std::vector<std::string>& names);
  void ReportCycle();
  bool Sort();
  void FindRoots();
  void CheckArity(size_t index);
  void FindFork(size_t index);
  void CheckOptionalInputs(size_t index);

  // graph_columns.cc
  void FindColumns(size_t index);
  void BindColumns(size_t index);
  std::vector<std::string> ColumnsBefore(size_t index);
  void JoinColumns(size_t index);
  void PeekSource(size_t index, std::vector<std::string>& seen);
  void ReadSourceColumns(size_t index);
  void CheckInputs(size_t index, const std::vector<std::string>& before);
  void CheckMappings(size_t index, const std::vector<std::string>& own_columns);
  void CheckReplacedColumns(size_t index);
  void CheckDistinct(size_t index, const std::vector<std::string>& own_columns,
                     const std::map<std::string, std::string>& to_column);
  std::vector<std::string> ColumnsAfter(size_t index, const std::vector<std::string>& before);

  std::span<const StepType> types_;
  GraphOptions options_;
  Problems& problems_;
  Graph graph_;
  std::vector<bool> params_good_;
  std::vector<std::set<size_t>> dominators_;            // within the stream, itself included
  std::vector<std::set<size_t>> ancestors_;             // over the whole graph
  std::vector<std::map<std::string, size_t>> writers_;  // column → step that last wrote it
};

}  // namespace retort
