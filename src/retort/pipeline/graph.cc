#include "retort/pipeline/graph.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <queue>

#include "retort/pipeline/graph_builder.h"
#include "retort/pipeline/node_reader.h"
#include "retort/pipeline/params.h"

namespace retort {
namespace {

// By a list of columns or by the mappings, not by the step's type alone.
bool IsNamedInFile(const GraphStep& node, const ColumnBinding& input) {
  if (node.config.input_mappings.contains(input.own)) return true;
  const Json& values = node.params.values();
  return std::any_of(values.begin(), values.end(), [&](const Json& value) {
    return value.is_array() && std::find(value.begin(), value.end(), input.own) != value.end();
  });
}

}  // namespace

GraphBuilder::GraphBuilder(PipelineConfig config, std::span<const StepType> types,
                           const GraphOptions& options, Problems& problems)
    : types_(types), options_(options), problems_(problems) {
  graph_.config = std::move(config);
  for (const StepConfig& step : graph_.config.steps) {
    graph_.steps.emplace_back();
    graph_.steps.back().config = step;
  }
  params_good_.resize(graph_.steps.size());
  dominators_.resize(graph_.steps.size());
  ancestors_.resize(graph_.steps.size());
  writers_.resize(graph_.steps.size());
}

std::string GraphBuilder::NamesOf(const std::vector<size_t>& steps) const {
  std::vector<std::string> names;
  for (const size_t index : steps) names.push_back("'" + graph_.steps[index].name() + "'");
  return fmt::format("{}", fmt::join(names, ", "));
}

void GraphBuilder::CheckNames() {
  std::map<std::string, size_t> seen;
  for (size_t i = 0; i < graph_.steps.size(); ++i) {
    const auto [first, added] = seen.emplace(step(i).name(), i);
    if (!added && !step(i).name().empty()) {
      problems_.Add(MarkOf(i), "the name '{}' is taken by the step at {}", step(i).name(),
                    MarkText(MarkOf(first->second)));
    }
  }
}

void GraphBuilder::ResolveType(size_t index) {
  GraphStep& node = step(index);
  std::vector<std::string> names;
  for (const StepType& type : types_) {
    if (type.name == node.config.type) node.type = &type;
    names.emplace_back(type.name);
  }
  if (node.type == nullptr) {
    if (!node.config.type.empty()) {
      problems_.Add(node.config.mark, "step '{}': there is no step type '{}'{}", node.name(),
                    node.config.type, DidYouMean(node.config.type, names));
    }
    return;
  }
  const size_t errors_before = problems_.num_errors();
  node.params =
      CheckParams(*node.type, node.config.params, node.name(), node.config.mark, problems_);
  params_good_[index] = problems_.num_errors() == errors_before;
  if (!params_good_[index]) return;
  for (const std::string& warning : node.type->warnings(node.params)) {
    problems_.Warn(MarkOfParam(node.config.params, warning, node.config.mark), "step '{}': {}",
                   node.name(), warning);
  }
}

void GraphBuilder::ResolveModel(size_t index) {
  GraphStep& node = step(index);
  std::vector<std::string> names;
  for (const ModelConfig& model : graph_.config.models) names.push_back(model.name);
  const ModelConfig* model = nullptr;
  if (node.config.llm) {
    model = graph_.config.FindModel(*node.config.llm);
    if (model == nullptr) {
      problems_.Add(node.config.llm_mark, "step '{}': no model '{}' is declared under 'models'{}",
                    node.name(), *node.config.llm, DidYouMean(*node.config.llm, names));
    }
  }
  if (node.type == nullptr || !params_good_[index]) return;
  node.model_use = node.type->model_use(node.params);
  if (node.model_use == ModelUse::kNone) {
    if (node.config.llm) {
      problems_.Add(node.config.llm_mark, "step '{}' ({}) uses no model: remove 'llm'", node.name(),
                    node.type->name);
    }
  } else if (!node.config.llm) {
    problems_.Add(node.config.mark, "step '{}' ({}) needs 'llm', the name of a model", node.name(),
                  node.type->name);
  }
  if (node.model_use != ModelUse::kGenerate && node.config.generation_mark) {
    problems_.Add(*node.config.generation_mark, "step '{}' generates nothing: remove 'generation'",
                  node.name());
  }
  if (const auto& given = node.config.structured_output) {
    if (node.model_use != ModelUse::kGenerate) {
      problems_.Add(given->mark, "step '{}' generates nothing: remove 'structured_output'",
                    node.name());
    } else {
      node.structured_output = ReadStructuredOutput(*given, node.name() + ".structured_output",
                                                    graph_.config.base_dir, problems_);
    }
  }
  node.generation = model == nullptr ? node.config.generation
                                     : Overlay(node.config.generation, model->generation);
}

void GraphBuilder::CheckModels() {
  for (const ModelConfig& model : graph_.config.models) {
    const bool used = std::any_of(graph_.steps.begin(), graph_.steps.end(),
                                  [&](const auto& node) { return node.config.llm == model.name; });
    if (!used) {
      problems_.Warn(model.mark, "the model '{}' is used by no step", model.name);
    } else if (options_.check_model && !model.path.empty()) {
      options_.check_model(model, problems_);
    }
  }
}

void GraphBuilder::ConnectTo(size_t index, const std::vector<std::string>& names) {
  GraphStep& node = step(index);
  std::vector<std::string> all;
  for (const GraphStep& other : graph_.steps) all.push_back(other.name());
  for (const std::string& name : names) {
    const auto found = std::find(all.begin(), all.end(), name);
    if (found == all.end()) {
      problems_.Add(node.config.after_mark, "step '{}' comes after '{}', which is no step{}",
                    node.name(), name, DidYouMean(name, all));
      continue;
    }
    const auto before = static_cast<size_t>(found - all.begin());
    if (std::find(node.after.begin(), node.after.end(), before) != node.after.end()) {
      problems_.Add(node.config.after_mark, "step '{}' names '{}' twice in 'after'", node.name(),
                    name);
      continue;
    }
    node.after.push_back(before);
  }
}

void GraphBuilder::Connect(size_t index) {
  GraphStep& node = step(index);
  const bool is_source = node.type != nullptr && node.type->kind == StepKind::kSource;
  if (node.config.after) {
    if (is_source && !node.config.after->empty()) {
      problems_.Add(node.config.after_mark,
                    "step '{}' ({}) makes rows and takes none: it cannot come after another step",
                    node.name(), node.type->name);
      return;
    }
    ConnectTo(index, *node.config.after);
    if (node.config.after->empty() && !is_source) {
      problems_.Add(node.config.after_mark, "step '{}' comes after no step and makes no rows",
                    node.name());
    }
  } else if (!is_source && index > 0) {
    node.after.push_back(index - 1);
  } else if (!is_source && node.type != nullptr) {
    problems_.Add(node.config.mark,
                  "step '{}' ({}) is the first, but makes no rows: a pipeline starts with a source",
                  node.name(), node.type->name);
  }
}

// Walks back along edges that lie on a cycle until a step repeats.
void GraphBuilder::ReportCycle() {
  std::vector<size_t> unsorted;
  for (size_t i = 0; i < graph_.steps.size(); ++i) {
    if (std::find(graph_.order.begin(), graph_.order.end(), i) == graph_.order.end()) {
      unsorted.push_back(i);
    }
  }
  std::vector<size_t> path = {unsorted.front()};
  for (;;) {
    size_t before = 0;
    for (const size_t candidate : step(path.back()).after) {
      if (std::find(unsorted.begin(), unsorted.end(), candidate) != unsorted.end()) {
        before = candidate;
      }
    }
    const auto seen = std::find(path.begin(), path.end(), before);
    if (seen != path.end()) {
      path.erase(path.begin(), seen);
      break;
    }
    path.push_back(before);
  }
  std::reverse(path.begin(), path.end());
  // Begin with the step that is first in the file, and come back to it.
  std::rotate(path.begin(), std::min_element(path.begin(), path.end()), path.end());
  path.push_back(path.front());
  std::string text;
  for (const size_t index : path) text += (text.empty() ? "" : " -> ") + step(index).name();
  problems_.Add(MarkOf(path.front()), "the steps go round in a circle: {}", text);
}

// Kahn's algorithm, taking the first in the file among those that are ready.
bool GraphBuilder::Sort() {
  std::vector<size_t> num_open(graph_.steps.size());
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < graph_.steps.size(); ++i) {
    for (const size_t before : step(i).after) step(before).next.push_back(i);
    num_open[i] = step(i).after.size();
    if (num_open[i] == 0) ready.push(i);
  }
  while (!ready.empty()) {
    const size_t index = ready.top();
    ready.pop();
    graph_.order.push_back(index);
    for (const size_t next : step(index).next) {
      if (--num_open[next] == 0) ready.push(next);
    }
  }
  if (graph_.order.size() == graph_.steps.size()) return true;
  ReportCycle();
  return false;
}

void GraphBuilder::FindRoots() {
  for (const size_t index : graph_.order) {
    GraphStep& node = step(index);
    for (const size_t before : node.after) {
      ancestors_[index].insert(before);
      ancestors_[index].insert(ancestors_[before].begin(), ancestors_[before].end());
    }
    dominators_[index] = {index};
    if (node.is_root()) {
      node.roots = {index};
      continue;
    }
    std::set<size_t> roots;
    std::set<size_t> common = dominators_[node.after.front()];
    for (const size_t before : node.after) {
      roots.insert(step(before).roots.begin(), step(before).roots.end());
      std::erase_if(common, [&](size_t other) { return !dominators_[before].contains(other); });
    }
    node.roots.assign(roots.begin(), roots.end());
    dominators_[index].insert(common.begin(), common.end());
  }
}

void GraphBuilder::CheckArity(size_t index) {
  const GraphStep& node = step(index);
  if (node.kind() == StepKind::kJoin) {
    if (node.after.size() < 2) {
      problems_.Add(node.config.after_mark,
                    "step '{}' ({}) joins branches: 'after' must name at least two steps",
                    node.name(), node.type->name);
    } else {
      FindFork(index);
    }
    return;
  }
  // Data sets put behind one another are fine; branches of one data set would double its rows.
  for (size_t a = 0; a < node.after.size(); ++a) {
    for (size_t b = a + 1; b < node.after.size(); ++b) {
      std::set<size_t> left = ancestors_[node.after[a]];
      left.insert(node.after[a]);
      std::set<size_t> right = ancestors_[node.after[b]];
      right.insert(node.after[b]);
      const bool shared = std::any_of(left.begin(), left.end(),
                                      [&](size_t other) { return right.contains(other); });
      if (!shared) continue;
      problems_.Add(node.config.after_mark,
                    "step '{}' ({}) would get every row twice, from '{}' and from '{}': merge them "
                    "with a join step first",
                    node.name(), node.type->name, step(node.after[a]).name(),
                    step(node.after[b]).name());
      return;
    }
  }
}

void GraphBuilder::FindFork(size_t index) {
  GraphStep& node = step(index);
  std::set<size_t> common = dominators_[node.after.front()];
  for (const size_t before : node.after) {
    std::erase_if(common, [&](size_t other) { return !dominators_[before].contains(other); });
  }
  // Dominators of one step lie on one path: the one with most dominators is the nearest.
  for (const size_t candidate : common) {
    if (!node.fork || dominators_[candidate].size() > dominators_[*node.fork].size()) {
      node.fork = candidate;
    }
  }
  if (node.fork) return;
  std::set<size_t> shared = ancestors_[node.after.front()];
  for (const size_t before : node.after) {
    std::erase_if(shared, [&](size_t other) {
      return other != before && !ancestors_[before].contains(other);
    });
  }
  if (shared.empty()) {
    problems_.Add(node.config.after_mark,
                  "step '{}' cannot join {}: their rows have no common ancestor", node.name(),
                  NamesOf(node.after));
  } else {
    problems_.Add(node.config.after_mark,
                  "step '{}' cannot join {}: a step that sees all rows at once, or several data "
                  "sets, lie between them and the step they part at; put it before the parting or "
                  "after the join",
                  node.name(), NamesOf(node.after));
  }
}

// A misspelt one would be undefined in every row.
void GraphBuilder::CheckOptionalInputs(size_t index) {
  const GraphStep& node = step(index);
  std::vector<std::string> before;
  for (const size_t other : node.after) {
    if (step(other).columns_open) return;
    before.insert(before.end(), step(other).columns.begin(), step(other).columns.end());
  }
  for (const ColumnBinding& input : node.inputs) {
    const bool is_there = std::find(before.begin(), before.end(), input.column) != before.end();
    if (input.required || is_there || !IsNamedInFile(node, input)) continue;
    problems_.Warn(node.config.mark,
                   "step '{}' takes the column '{}' where a row has it, but none has{}",
                   node.name(), input.column, DidYouMean(input.column, before));
  }
}

Graph GraphBuilder::Build() {
  if (graph_.steps.size() > kStepsMax) {
    problems_.Add(graph_.steps[kStepsMax].config.mark, "more than {} steps", kStepsMax);
    return std::move(graph_);
  }
  CheckNames();
  bool types_good = true;
  for (size_t i = 0; i < graph_.steps.size(); ++i) {
    ResolveType(i);
    ResolveModel(i);
    types_good = types_good && step(i).type != nullptr;
  }
  CheckModels();
  const size_t errors_before = problems_.num_errors();
  for (size_t i = 0; i < graph_.steps.size(); ++i) Connect(i);
  const bool connected = problems_.num_errors() == errors_before;
  if (!Sort() || !connected || !types_good) return std::move(graph_);
  FindRoots();
  const size_t errors_in_shape = problems_.num_errors();
  for (const size_t index : graph_.order) CheckArity(index);
  if (problems_.num_errors() != errors_in_shape) return std::move(graph_);
  for (const size_t index : graph_.order) FindColumns(index);
  for (const size_t index : graph_.order) CheckOptionalInputs(index);
  for (size_t i = 0; i < graph_.steps.size(); ++i) {
    if (step(i).kind() == StepKind::kSource && step(i).next.empty() && graph_.steps.size() > 1) {
      problems_.Add(MarkOf(i), "no step takes the rows of '{}'", step(i).name());
    }
  }
  return std::move(graph_);
}

const GraphStep* Graph::Find(std::string_view name) const {
  for (const GraphStep& step : steps) {
    if (step.name() == name) return &step;
  }
  return nullptr;
}

std::vector<size_t> Graph::Leaves() const {
  std::vector<size_t> leaves;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].next.empty()) leaves.push_back(i);
  }
  return leaves;
}

std::vector<std::string> Graph::UsedModels() const {
  std::vector<std::string> names;
  for (const ModelConfig& model : config.models) {
    const bool used = std::any_of(steps.begin(), steps.end(), [&](const GraphStep& step) {
      return step.model_use != ModelUse::kNone && step.config.llm == model.name;
    });
    if (used) names.push_back(model.name);
  }
  return names;
}

Graph BuildGraph(PipelineConfig config, std::span<const StepType> types,
                 const GraphOptions& options, Problems& problems) {
  Graph graph = GraphBuilder(std::move(config), types, options, problems).Build();
  problems.Sort();
  return graph;
}

Graph LoadPipeline(const std::filesystem::path& file, const ConfigOverrides& overrides,
                   std::span<const StepType> types, const GraphOptions& options,
                   std::vector<Problem>* warnings) {
  Problems problems;
  PipelineConfig config = ReadConfig(file, overrides, problems);
  Graph graph = BuildGraph(std::move(config), types, options, problems);
  if (options.strict) problems.MakeWarningsErrors();
  problems.ThrowIfAny();
  if (warnings != nullptr) *warnings = problems.items();
  return graph;
}

}  // namespace retort
