// Any bytes as a pipeline file: read, checked and drawn. What is wrong must end in an Error or in
// problems; a graph without problems must keep the promises the executor relies on.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "retort/pipeline/dry_run.h"
#include "retort/pipeline/fake_steps_test.h"
#include "retort/pipeline/graph.h"
#include "retort/pipeline/router.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<retort::StepType> types = retort::fake::Types();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  retort::Problems problems;
  try {
    // The first line, if it is a comment, is an argument of --set.
    retort::ConfigOverrides overrides;
    if (text.starts_with('#')) overrides.emplace_back(text.substr(1, text.find('\n') - 1));
    retort::PipelineConfig config = retort::ParseConfig(text, "fuzz.yaml", overrides, problems);
    const retort::Graph graph = retort::BuildGraph(std::move(config), types, {}, problems);
    for (const retort::Problem& problem : problems.items()) {
      if (retort::ProblemText(problem).empty()) std::abort();
    }
    if (!problems.ok()) return 0;
    if (graph.order.size() != graph.steps.size()) std::abort();
    for (const retort::GraphStep& step : graph.steps) {
      if (step.kind() == retort::StepKind::kJoin) {
        if (!step.fork || step.stale_columns.size() != step.after.size()) std::abort();
      }
      if (!step.is_root() && step.after.empty()) std::abort();
    }
    if (retort::ToMermaid(graph).empty() || retort::ToDot(graph).empty()) std::abort();
    const retort::Router router(graph);
    retort::PlanRun(graph, 3);
  } catch (const retort::Error& error) {
    if (error.message().empty()) std::abort();
  }
  return 0;
}
