// Which columns a row has where, and what is missing.
#include <fmt/ranges.h>

#include <algorithm>

#include "retort/pipeline/graph_builder.h"
#include "retort/pipeline/node_reader.h"

namespace retort {
namespace {

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void AddName(std::vector<std::string>& names, const std::string& name) {
  if (!Contains(names, name)) names.push_back(name);
}

std::string Mapped(const std::map<std::string, std::string>& mappings, const std::string& own) {
  const auto found = mappings.find(own);
  return found == mappings.end() ? own : found->second;
}

bool RewritesRows(StepKind kind) { return kind == StepKind::kRows || kind == StepKind::kGlobal; }

std::string ListNames(const std::vector<std::string>& names) {
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

// Every task says which model it used; branches on one model may be joined without renaming that.
bool WriteTheSame(const GraphStep& a, const GraphStep& b, const std::string& column) {
  return column == "model_name" && a.config.llm && a.config.llm == b.config.llm;
}

}  // namespace

void GraphBuilder::BindColumns(size_t index) {
  GraphStep& node = step(index);
  const auto bind = [&](const std::vector<std::string>& names,
                        const std::map<std::string, std::string>& mappings, bool required,
                        std::vector<ColumnBinding>& bindings) {
    for (const std::string& own : names) {
      bindings.push_back({own, Mapped(mappings, own), required});
    }
  };
  bind(node.type->inputs(node.params), node.config.input_mappings, true, node.inputs);
  if (const std::string& column = node.structured_output.column; !column.empty()) {
    node.inputs.push_back({std::string(kStructuredOutputInput), column, true});
  }
  bind(node.type->optional_inputs(node.params), node.config.input_mappings, false, node.inputs);
  bind(node.type->outputs(node.params), node.config.output_mappings, true, node.outputs);
}

std::vector<std::string> GraphBuilder::ColumnsBefore(size_t index) {
  const GraphStep& node = step(index);
  std::vector<std::string> columns;
  if (node.after.empty()) return columns;
  columns = step(node.after.front()).columns;
  writers_[index] = writers_[node.after.front()];
  for (const size_t before : node.after) {
    // Of several data sets one behind the other: what all of them have.
    std::erase_if(columns, [&](const std::string& column) {
      return !step(before).columns_open && !Contains(step(before).columns, column);
    });
  }
  return columns;
}

void GraphBuilder::JoinColumns(size_t index) {
  GraphStep& node = step(index);
  const std::map<std::string, size_t>& at_fork = writers_[*node.fork];
  std::map<std::string, size_t> changed_by;  // column → place in `after`
  std::map<std::string, size_t>& writers = writers_[index];
  for (size_t branch = 0; branch < node.after.size(); ++branch) {
    for (const auto& [column, writer] : writers_[node.after[branch]]) {
      writers.emplace(column, writer);
      const auto before = at_fork.find(column);
      if (before != at_fork.end() && before->second == writer) continue;
      const auto [first, added] = changed_by.emplace(column, branch);
      if (added) {
        writers[column] = writer;
      } else if (const size_t other = writers_[node.after[first->second]].at(column);
                 other != writer && !WriteTheSame(step(other), step(writer), column)) {
        problems_.Add(node.config.after_mark,
                      "step '{}' joins '{}' and '{}', which both write the column '{}': give one "
                      "of them another name with 'output_mappings'",
                      node.name(), step(other).name(), step(writer).name(), column);
      }
    }
    for (const std::string& column : step(node.after[branch]).columns) {
      AddName(node.columns, column);
    }
    node.columns_open = node.columns_open || step(node.after[branch]).columns_open;
  }
  for (const size_t before : node.after) {
    std::vector<std::string>& stale = node.stale_columns.emplace_back();
    for (const auto& [column, branch] : changed_by) {
      const auto writer = writers_[before].find(column);
      if (node.after[branch] != before && writer != writers_[before].end() &&
          writer->second != writers.at(column)) {
        stale.push_back(column);
      }
    }
  }
}

void GraphBuilder::ReadSourceColumns(size_t index) {
  GraphStep& node = step(index);
  std::vector<std::string> own;
  for (const ColumnBinding& output : node.outputs) own.push_back(output.own);
  if (own.empty()) {
    node.columns_open = true;
    if (options_.peek_sources) {
      try {
        auto source = node.type->create(node.params);
        StepContext context;
        context.base_dir = graph_.config.base_dir.string();
        context.seed = graph_.config.seed;
        size_t num_rows = 0;
        dynamic_cast<SourceStep&>(*source).Read(context, [&](const Row& row) {
          for (const auto& [column, value] : row.items()) AddName(own, column);
          return ++num_rows < kPeekRows;
        });
        node.columns_open = num_rows == 0;
        if (num_rows == 0) {
          problems_.Warn(node.config.mark, "the source '{}' has no rows", node.name());
        }
      } catch (const std::exception&) {
        const Error error = CurrentError();
        problems_.Add({error.code(), node.config.mark,
                       fmt::format("step '{}': {}", node.name(), error.message()), false});
      }
    }
    node.outputs.clear();
    for (const std::string& column : own) {
      node.outputs.push_back({column, Mapped(node.config.output_mappings, column), true});
    }
  }
  for (const ColumnBinding& output : node.outputs) AddName(node.columns, output.column);
  CheckMappings(index, own);
}

void GraphBuilder::CheckInputs(size_t index, const std::vector<std::string>& before) {
  const GraphStep& node = step(index);
  const bool open = std::any_of(node.after.begin(), node.after.end(),
                                [&](size_t other) { return step(other).columns_open; });
  for (const ColumnBinding& input : node.inputs) {
    if (!input.required || open || Contains(before, input.column)) continue;
    const std::string known_as =
        input.own == input.column ? "" : fmt::format(" (its '{}')", input.own);
    problems_.Add(node.config.mark,
                  "step '{}' ({}) needs the column '{}'{}, which the rows do not have there{}; "
                  "they have {}",
                  node.name(), node.type->name, input.column, known_as,
                  DidYouMean(input.column, before), ListNames(before));
  }
}

void GraphBuilder::CheckMappings(size_t index, const std::vector<std::string>& own_columns) {
  const GraphStep& node = step(index);
  std::vector<std::string> inputs;
  for (const ColumnBinding& input : node.inputs) inputs.push_back(input.own);
  for (const auto& [own, column] : node.config.input_mappings) {
    if (Contains(inputs, own)) continue;
    const bool reversed = Contains(inputs, column);
    problems_.Add(
        node.config.input_mappings_mark, "step '{}' ({}) has no input '{}'{}; its inputs are {}",
        node.name(), node.type->name, own,
        reversed
            ? fmt::format(" (did you mean '{}: {}'? the step's own name comes first)", column, own)
            : DidYouMean(own, inputs),
        ListNames(inputs));
  }
  std::map<std::string, std::string> written;
  for (const auto& [own, column] : node.config.output_mappings) {
    const auto [first, added] = written.emplace(column, own);
    if (!added) {
      problems_.Add(node.config.output_mappings_mark,
                    "step '{}' maps both '{}' and '{}' to the column '{}'", node.name(),
                    first->second, own, column);
    }
    if (node.columns_open && node.kind() == StepKind::kSource) continue;
    if (Contains(own_columns, own)) continue;
    const bool reversed = Contains(own_columns, column);
    problems_.Add(
        node.config.output_mappings_mark, "step '{}' ({}) has no output '{}'{}; its outputs are {}",
        node.name(), node.type->name, own,
        reversed
            ? fmt::format(" (did you mean '{}: {}'? the step's own name comes first)", column, own)
            : DidYouMean(own, own_columns),
        ListNames(own_columns));
  }
}

// For steps that rewrite whole rows: their mapped columns go by the step's names while it works.
std::vector<std::string> GraphBuilder::ColumnsAfter(size_t index,
                                                    const std::vector<std::string>& before) {
  GraphStep& node = step(index);
  std::map<std::string, std::string> to_own;
  std::map<std::string, std::string> to_column = node.config.output_mappings;
  for (const auto& [own, column] : node.config.input_mappings) {
    to_own[column] = own;
    to_column.emplace(own, column);
    if (own != column && Contains(before, own) && !node.config.input_mappings.contains(own)) {
      problems_.Add(node.config.input_mappings_mark,
                    "step '{}' would see '{}' as '{}', but the rows have a column '{}' already",
                    node.name(), column, own, own);
    }
  }
  std::vector<std::string> own_before;
  for (const std::string& column : before) AddName(own_before, Mapped(to_own, column));
  std::vector<std::string> own_after = own_before;
  if (node.type->columns_after) {
    own_after = node.type->columns_after(node.params, own_before);
  } else {
    for (const ColumnBinding& output : node.outputs) AddName(own_after, output.own);
  }
  CheckMappings(index, own_after);
  std::vector<std::string> after;
  for (const std::string& own : own_after) AddName(after, Mapped(to_column, own));
  return after;
}

void GraphBuilder::FindColumns(size_t index) {
  GraphStep& node = step(index);
  if (!params_good_[index]) {  // reported; what depends on it cannot be told
    node.columns_open = true;
    return;
  }
  BindColumns(index);
  if (node.kind() == StepKind::kSource) {
    ReadSourceColumns(index);
  } else if (node.kind() == StepKind::kJoin) {
    JoinColumns(index);
    if (!node.config.input_mappings.empty() || !node.config.output_mappings.empty()) {
      problems_.Add(node.config.mark, "step '{}' joins whole rows: it takes no mappings",
                    node.name());
    }
    return;
  } else {
    const std::vector<std::string> before = ColumnsBefore(index);
    CheckInputs(index, before);
    for (const size_t other : node.after) {
      node.columns_open = node.columns_open || step(other).columns_open;
    }
    if (RewritesRows(node.kind())) {
      node.columns = ColumnsAfter(index, before);
    } else {
      std::vector<std::string> own;
      for (const ColumnBinding& output : node.outputs) own.push_back(output.own);
      CheckMappings(index, own);
      node.columns = before;
      for (const ColumnBinding& output : node.outputs) AddName(node.columns, output.column);
    }
  }
  auto& writers = writers_[index];
  std::erase_if(writers, [&](const auto& item) { return !Contains(node.columns, item.first); });
  for (const std::string& column : node.columns) writers.emplace(column, index);
  for (const ColumnBinding& output : node.outputs) writers[output.column] = index;
}

}  // namespace retort
