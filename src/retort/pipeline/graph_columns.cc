// Which columns a row has where, and what is missing.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "retort/pipeline/graph_builder.h"
#include "retort/pipeline/node_reader.h"
#include "retort/pipeline/row_columns.h"

namespace retort {
namespace {

// Names in the order in which they came, each once. A row may have a great many.
class NameList {
 public:
  NameList() = default;
  explicit NameList(const std::vector<std::string>& names) {
    for (const std::string& name : names) Add(name);
  }

  // False if it is there already.
  bool Add(const std::string& name) {
    if (!seen_.insert(name).second) return false;
    names_.push_back(name);
    return true;
  }
  bool Contains(const std::string& name) const { return seen_.contains(name); }
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
  std::unordered_set<std::string> seen_;
};

std::string Mapped(const std::map<std::string, std::string>& mappings, const std::string& own) {
  const auto found = mappings.find(own);
  return found == mappings.end() ? own : found->second;
}

bool RewritesRows(StepKind kind) { return kind == StepKind::kRows || kind == StepKind::kGlobal; }

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
  NameList own;
  for (const ColumnBinding& input : node.inputs) {
    if (own.Add(input.own)) continue;
    problems_.Add(node.config.mark, "step '{}' ({}) takes two inputs named '{}'", node.name(),
                  node.type->name, input.own);
  }
}

std::vector<std::string> GraphBuilder::ColumnsBefore(size_t index) {
  const GraphStep& node = step(index);
  std::vector<std::string> columns;
  if (node.after.empty()) return columns;
  columns = step(node.after.front()).columns;
  writers_[index] = writers_[node.after.front()];
  for (const size_t before : node.after) {
    // Of several data sets one behind the other: what all of them have.
    if (step(before).columns_open) continue;
    const NameList others(step(before).columns);
    std::erase_if(columns, [&](const std::string& column) { return !others.Contains(column); });
  }
  return columns;
}

// What a step writes over, unless its mappings say so: seldom meant.
void GraphBuilder::CheckReplacedColumns(size_t index) {
  GraphStep& node = step(index);
  std::map<std::string, size_t> writers;  // of all columns before the step
  for (const size_t before : node.after) {
    for (const auto& [column, writer] : writers_[before]) writers.emplace(column, writer);
  }
  for (ColumnBinding& output : node.outputs) {
    const auto replaced = writers.find(output.column);
    const bool mapped = node.config.output_mappings.contains(output.own);
    output.may_replace = mapped || replaced != writers.end();
    if (mapped || replaced == writers.end() ||
        WriteTheSame(step(replaced->second), node, output.column)) {
      continue;
    }
    problems_.Warn(node.config.mark,
                   "step '{0}' ({1}) replaces the column '{2}' of '{3}': give its output another "
                   "name with 'output_mappings', or write '{4}: {2}' there if this is meant",
                   node.name(), node.type->name, output.column, step(replaced->second).name(),
                   output.own);
  }
}

void GraphBuilder::JoinColumns(size_t index) {
  GraphStep& node = step(index);
  const std::map<std::string, size_t>& at_fork = writers_[*node.fork];
  std::map<std::string, size_t> changed_by;  // column → place in `after`
  std::map<std::string, size_t>& writers = writers_[index];
  NameList columns;
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
    for (const std::string& column : step(node.after[branch]).columns) columns.Add(column);
    node.columns_open = node.columns_open || step(node.after[branch]).columns_open;
  }
  node.columns = columns.names();
  for (const size_t before : node.after) {
    std::vector<std::string>& stale = node.stale_columns.emplace_back();
    for (const auto& [column, branch] : changed_by) {
      if (node.after[branch] == before) continue;
      const auto writer = writers_[before].find(column);
      // A branch that is not known to have the column may still carry it, from a row of another
      // shape than those that were looked at.
      if (writer == writers_[before].end() || writer->second != writers.at(column)) {
        stale.push_back(column);
      }
    }
  }
}

// Looks at the first rows of a source: adds their columns to `seen`, and a problem if the mappings
// would make two columns of a row one.
void GraphBuilder::PeekSource(size_t index, std::vector<std::string>& seen) {
  GraphStep& node = step(index);
  NameList columns;
  size_t num_rows = 0;
  bool clash = false;
  try {
    auto source = node.type->create(node.params);
    StepContext context;
    context.base_dir = graph_.config.base_dir.string();
    context.seed = graph_.config.seed;
    dynamic_cast<SourceStep&>(*source).Read(context, [&](Row row) {
      for (const auto& [column, value] : row.items()) columns.Add(column);
      try {
        if (!clash) ToColumnNames(node, row);
      } catch (const Error& error) {
        clash = true;
        problems_.Add(node.config.output_mappings_mark, "step '{}', row {}: {}", node.name(),
                      num_rows, error.message());
      }
      return ++num_rows < kPeekRows;
    });
    if (num_rows == 0) {
      problems_.Warn(node.config.mark, "the source '{}' has no rows", node.name());
    }
  } catch (const std::exception&) {
    const Error error = CurrentError();
    problems_.Add({error.code(), node.config.mark,
                   fmt::format("step '{}': {}", node.name(), error.message()), false});
  }
  seen = columns.names();
}

void GraphBuilder::ReadSourceColumns(size_t index) {
  GraphStep& node = step(index);
  std::vector<std::string> own;
  for (const ColumnBinding& output : node.outputs) own.push_back(output.own);
  const bool declared = !own.empty();
  if (options_.peek_sources && (!declared || !node.config.output_mappings.empty())) {
    std::vector<std::string> seen;
    PeekSource(index, seen);
    if (!declared) own = seen;
  }
  node.columns_open = own.empty();
  node.outputs.clear();
  NameList columns;
  for (const std::string& column : own) {
    node.outputs.push_back({column, Mapped(node.config.output_mappings, column), true});
    columns.Add(node.outputs.back().column);
  }
  node.columns = columns.names();
  CheckMappings(index, own);
}

void GraphBuilder::CheckInputs(size_t index, const std::vector<std::string>& before) {
  const GraphStep& node = step(index);
  const bool open = std::any_of(node.after.begin(), node.after.end(),
                                [&](size_t other) { return step(other).columns_open; });
  const NameList there(before);
  for (const ColumnBinding& input : node.inputs) {
    if (!input.required || open || there.Contains(input.column)) continue;
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
  NameList inputs;
  for (const ColumnBinding& input : node.inputs) {
    if (input.own != kStructuredOutputInput) inputs.Add(input.own);  // named in its own place
  }
  for (const auto& [own, column] : node.config.input_mappings) {
    if (inputs.Contains(own)) continue;
    const bool reversed = inputs.Contains(column);
    problems_.Add(
        node.config.input_mappings_mark, "step '{}' ({}) has no input '{}'{}; its inputs are {}",
        node.name(), node.type->name, own,
        reversed
            ? fmt::format(" (did you mean '{}: {}'? the step's own name comes first)", column, own)
            : DidYouMean(own, inputs.names()),
        ListNames(inputs.names()));
  }
  const NameList outputs(own_columns);
  std::map<std::string, std::string> written;
  for (const auto& [own, column] : node.config.output_mappings) {
    const auto [first, added] = written.emplace(column, own);
    if (!added) {
      problems_.Add(node.config.output_mappings_mark,
                    "step '{}' maps both '{}' and '{}' to the column '{}'", node.name(),
                    first->second, own, column);
    }
    if (node.columns_open && node.kind() == StepKind::kSource) continue;
    if (outputs.Contains(own)) continue;
    const bool reversed = outputs.Contains(column);
    problems_.Add(
        node.config.output_mappings_mark, "step '{}' ({}) has no output '{}'{}; its outputs are {}",
        node.name(), node.type->name, own,
        reversed
            ? fmt::format(" (did you mean '{}: {}'? the step's own name comes first)", column, own)
            : DidYouMean(own, own_columns),
        ListNames(own_columns));
  }
}

// Adds a problem if two of the columns that leave a step would have one name. Two that the mappings
// name are CheckMappings' to report.
void GraphBuilder::CheckDistinct(size_t index, const std::vector<std::string>& own_columns,
                                 const std::map<std::string, std::string>& to_column) {
  const GraphStep& node = step(index);
  const std::map<std::string, std::string>& mapped = node.config.output_mappings;
  std::unordered_map<std::string, std::string> own_of;  // by the name outside
  for (const std::string& own : own_columns) {
    const std::string column = Mapped(to_column, own);
    const auto [first, added] = own_of.emplace(column, own);
    if (added || first->second == own || (mapped.contains(own) && mapped.contains(first->second))) {
      continue;
    }
    problems_.Add(
        mapped.empty() ? node.config.input_mappings_mark : node.config.output_mappings_mark,
        "step '{}' ({}): its columns '{}' and '{}' would both become '{}'", node.name(),
        node.type->name, WithoutAside(first->second), WithoutAside(own), column);
  }
}

// For steps that rewrite whole rows: their mapped columns go by the step's names while it works.
std::vector<std::string> GraphBuilder::ColumnsAfter(size_t index,
                                                    const std::vector<std::string>& before) {
  GraphStep& node = step(index);
  std::map<std::string, std::string> seen_as;
  for (const auto& [own, column] : node.config.input_mappings) {
    const auto [first, added] = seen_as.emplace(column, own);
    if (!added) {
      problems_.Add(node.config.input_mappings_mark,
                    "step '{}' ({}) would see the column '{}' both as '{}' and as '{}', but it "
                    "works on whole rows, in which a column has one name: give each input a column "
                    "of its own",
                    node.name(), node.type->name, column, first->second, own);
    }
  }
  const std::map<std::string, std::string> to_own = NamesInside(node);
  const std::map<std::string, std::string> to_column = NamesOutside(node);
  NameList own_before;
  for (const std::string& column : before) own_before.Add(Mapped(to_own, column));
  std::vector<std::string> own_after = own_before.names();
  if (node.type->columns_after) {
    try {
      own_after = node.type->columns_after(node.params, own_before.names());
    } catch (const Error& error) {
      problems_.Add(node.config.mark, "step '{}' ({}): {}", node.name(), node.type->name,
                    error.message());
    }
  } else {
    NameList with_outputs = own_before;
    for (const ColumnBinding& output : node.outputs) with_outputs.Add(output.own);
    own_after = with_outputs.names();
  }
  std::vector<std::string> known = own_after;
  std::erase_if(known, [](const std::string& own) { return WithoutAside(own) != own; });
  CheckMappings(index, known);
  CheckDistinct(index, own_after, to_column);
  NameList after;
  for (const std::string& own : own_after) after.Add(Mapped(to_column, own));
  return after.names();
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
    CheckReplacedColumns(index);
    for (const size_t other : node.after) {
      node.columns_open = node.columns_open || step(other).columns_open;
    }
    if (RewritesRows(node.kind())) {
      node.columns = ColumnsAfter(index, before);
    } else {
      std::vector<std::string> own;
      for (const ColumnBinding& output : node.outputs) own.push_back(output.own);
      CheckMappings(index, own);
      CheckDistinct(index, own, node.config.output_mappings);
      NameList columns(before);
      for (const ColumnBinding& output : node.outputs) columns.Add(output.column);
      node.columns = columns.names();
    }
  }
  auto& writers = writers_[index];
  const NameList there(node.columns);
  std::erase_if(writers, [&](const auto& item) { return !there.Contains(item.first); });
  for (const std::string& column : node.columns) writers.emplace(column, index);
  for (const ColumnBinding& output : node.outputs) writers[output.column] = index;
}

}  // namespace retort
