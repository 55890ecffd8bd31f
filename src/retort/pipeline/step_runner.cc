#include "retort/pipeline/step_runner.h"

#include <algorithm>
#include <unordered_map>

#include "retort/base/json_object.h"
#include "retort/pipeline/input_kinds.h"
#include "retort/pipeline/model_context.h"
#include "retort/pipeline/record_codec.h"
#include "retort/pipeline/row_columns.h"

namespace retort {
namespace {

StepOutcome Failed(Error error, std::string raw = "") {
  StepOutcome outcome;
  outcome.kind = StepOutcome::Kind::kFailed;
  outcome.error = std::move(error);
  outcome.raw = std::move(raw);
  return outcome;
}

StepOutcome Fatal(Error error) {
  StepOutcome outcome;
  outcome.kind = StepOutcome::Kind::kFatal;
  outcome.error = std::move(error);
  return outcome;
}

Item Follow(const Item& item) {
  Item next;
  next.family = item.family;
  next.path = item.path;
  next.failed = item.failed;
  return next;
}

// The row's name after the step. For steps whose outputs are not a pure function of what came in
// (a model's answers can differ between machines), the outputs themselves are part of it, so
// nothing downstream can be served what was made of another answer.
LineageKey KeyAfter(const LineageKey& step, const LineageKey& row, std::string_view outputs) {
  Sha256 digest;
  digest.Field("after").Field(step.view()).Field(row.view()).Field(outputs);
  return FinishKey(digest);
}

// The declared inputs under the step's own names. Throws Error{kInvalid} for a row without one.
Row GatherInputs(const GraphStep& step, const Row& row, const std::string*& null_column) {
  Row inputs = Row::object();
  for (const ColumnBinding& input : step.inputs) {
    const auto found = row.find(input.column);
    if (found == row.end()) {
      if (!input.required) continue;
      Throw(ErrorCode::kInvalid, "the row has no column '{}'; it has {}", input.column,
            ListColumns(row));
    }
    if (found->is_null()) {
      if (!input.required) continue;  // as if it were not there
      if (null_column == nullptr) null_column = &input.column;
    }
    inputs[input.own] = *found;
  }
  return inputs;
}

// Throws Error{kInternal} unless the step made exactly what it declares.
void CheckOutputs(const GraphStep& step, const Row& outputs) {
  const bool good =
      outputs.is_object() && outputs.size() == step.outputs.size() &&
      std::all_of(step.outputs.begin(), step.outputs.end(),
                  [&](const ColumnBinding& output) { return outputs.contains(output.own); });
  if (!good) {
    Throw(ErrorCode::kInternal, "step type {} declares other outputs than it made: {}",
          step.type->name, outputs.is_object() ? ListColumns(outputs) : outputs.type_name());
  }
}

void PutOutputs(const GraphStep& step, Row outputs, Row& row) {
  for (const ColumnBinding& output : step.outputs) {
    row[output.column] = std::move(outputs[output.own]);
  }
}

void PutNulls(const GraphStep& step, Row& row) {
  for (const ColumnBinding& output : step.outputs) row[output.column] = nullptr;
}

// The row with null outputs, for those that go on after a failure.
Item KeepFailed(const GraphStep& step, const Item& item, const LineageKey& step_key) {
  Item kept = Follow(item);
  kept.failed = true;
  kept.row = item.row;
  PutNulls(step, kept.row);
  if (step.kind() == StepKind::kRows && !step.columns_open) {
    // The step might have removed or renamed columns: what follows expects those it would have
    // left.
    std::unordered_map<std::string_view, Json*> values;
    for (auto& [column, value] : kept.row.get_ref<Json::object_t&>()) {
      values.emplace(column, &value);
    }
    Json::object_t row;
    for (const std::string& column : step.columns) {
      const auto found = values.find(column);
      AppendMember(row, column, found == values.end() ? Json(nullptr) : *found->second);
    }
    kept.row = std::move(row);
  }
  kept.key = KeyAfter(step_key, item.key, "failed");
  return kept;
}

}  // namespace

std::optional<StepOutputs> StepRunner::FindOutputs(StepRuntime& step, const LineageKey& key) const {
  const auto value = ledger_->Find(key, RecordKind::kStepOutputs);
  if (!value) return std::nullopt;
  StepOutputs kept = DecodeOutputs(*value);
  if (kept.context_tokens > step.model->description().context_tokens_max) return std::nullopt;
  return kept;
}

StepOutcome StepRunner::RunRow(StepRuntime& step, const Item& item) const {
  const GraphStep& graph = *step.graph;
  const std::string* null_column = nullptr;
  Row inputs;
  try {
    CheckReplaced(graph, item.row);
    inputs = GatherInputs(graph, item.row, null_column);
  } catch (const Error& error) {
    return Failed(error);
  }
  if (null_column != nullptr && !graph.type->accepts_null) {
    if (!item.failed) {
      return Failed(Error(ErrorCode::kInvalid,
                          fmt::format("the column '{}' of the row is null", *null_column)));
    }
    ++step.counters.rows_upstream_failed;
    StepOutcome outcome;
    outcome.results.push_back(KeepFailed(graph, item, step.key()));
    return outcome;
  }
  std::shared_ptr<const ConstraintText> constraint;  // the row's own
  try {
    CheckInputKinds(*graph.type, graph.inputs, inputs);
    if (!graph.structured_output.column.empty()) {
      // Before the ledger is asked: a warning depends on the row, not on what is kept of it.
      constraint = StructuredOutputOf(inputs.at(std::string(kStructuredOutputInput)));
      step.row_schemas->Check(*constraint);
      inputs.erase(std::string(kStructuredOutputInput));
    }
  } catch (const std::exception&) {
    return Failed(CurrentError());
  }
  Ledger* ledger = step.use_cache ? ledger_ : nullptr;
  // Without a model, running the step again costs less than looking its outputs up.
  Ledger* outputs_ledger = step.model == nullptr ? nullptr : ledger;
  const LineageKey record_key = step.OutputsKey(item.key);
  std::optional<Row> outputs;
  StepOutputs made;
  if (outputs_ledger != nullptr) {
    try {
      if (auto kept = FindOutputs(step, record_key)) {
        made = std::move(*kept);
        outputs = DecodeRow(made.row);
        CheckOutputs(graph, *outputs);
        ++step.counters.rows_cached;
      }
    } catch (const Error& error) {
      return Fatal(error);
    }
  }
  if (!outputs) {
    ModelContext context(step, ledger, item.key, stop_);
    try {
      if (constraint != nullptr) context.SetConstraint(constraint);
      outputs = dynamic_cast<const RowStep&>(*step.step).Process(inputs, context);
      CheckOutputs(graph, *outputs);
      made.marks = context.marks();
      made.context_tokens = context.context_tokens();
      if (step.model != nullptr) made.row = EncodeRow(*outputs);
    } catch (const std::exception&) {
      if (context.fatal()) return Fatal(*context.fatal());
      return Failed(CurrentError(), context.raw());
    }
    if (context.fatal()) return Fatal(*context.fatal());
    if (outputs_ledger != nullptr && context.outputs_are_final()) {
      try {
        outputs_ledger->Put({record_key, RecordKind::kStepOutputs, EncodeOutputs(made)});
      } catch (const Error& error) {
        return Fatal(error);
      }
    }
  }
  StepOutcome outcome;
  Item next = Follow(item);
  next.row = item.row;
  if (made.marks.cut) ++step.counters.rows_cut;
  if (made.marks.missing) ++step.counters.rows_with_gaps;
  PutOutputs(graph, std::move(*outputs), next.row);
  next.key = KeyAfter(step.key(), item.key, made.row);
  outcome.results.push_back(std::move(next));
  return outcome;
}

StepOutcome StepRunner::RunRows(StepRuntime& step, const Item& item) const {
  const GraphStep& graph = *step.graph;
  StepOutcome outcome;
  std::vector<Row> rows;
  try {
    for (const ColumnBinding& input : graph.inputs) {
      if (input.required && !item.row.contains(input.column)) {
        Throw(ErrorCode::kInvalid, "the row has no column '{}'; it has {}", input.column,
              ListColumns(item.row));
      }
    }
    CheckReplaced(graph, item.row);
    Row row = item.row;
    ToOwnNames(graph, row);
    rows = dynamic_cast<const RowsStep&>(*step.step).Process(std::move(row));
    for (Row& made : rows) ToColumnNames(graph, made);
  } catch (const std::exception&) {
    return Failed(CurrentError());
  }
  if (rows.size() > UINT32_MAX) {
    return Failed(Error(ErrorCode::kExhausted, "one row became more than 2^32 rows"));
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    Item next = Follow(item);
    next.row = std::move(rows[i]);
    next.path.push_back(static_cast<uint32_t>(i));
    Sha256 digest;
    digest.Field("expanded").Field(step.key().view()).Field(item.key.view()).Field(i);
    next.key = FinishKey(digest);
    outcome.results.push_back(std::move(next));
  }
  return outcome;
}

StepOutcome StepRunner::Run(StepRuntime& step, const Item& item) const {
  if (step.model != nullptr) {
    try {
      step.model->Identity();
    } catch (const std::exception&) {
      return Fatal(CurrentError());
    }
  }
  StepOutcome outcome =
      step.graph->kind() == StepKind::kRow ? RunRow(step, item) : RunRows(step, item);
  if (outcome.kind == StepOutcome::Kind::kFailed) {
    if (stop_.stop_requested()) {
      outcome.kind = StepOutcome::Kind::kCancelled;
    } else if (step.graph->config.on_error == OnError::kKeep) {
      outcome.results.push_back(KeepFailed(*step.graph, item, step.key()));
    }
  }
  return outcome;
}

StepOutcome StepRunner::Join(StepRuntime& step, std::vector<Item> items) const {
  const GraphStep& graph = *step.graph;
  Item next = Follow(items.front());
  Sha256 digest;
  digest.Field("joined").Field(step.key().view());
  std::vector<Row> rows;
  for (size_t branch = 0; branch < items.size(); ++branch) {
    Item& item = items[branch];
    digest.Field(item.key.view());
    next.failed = next.failed || item.failed;
    for (const std::string& column : graph.stale_columns[branch]) item.row.erase(column);
    rows.push_back(std::move(item.row));
  }
  next.key = FinishKey(digest);
  try {
    next.row = dynamic_cast<const JoinStep&>(*step.step).Process(std::move(rows));
  } catch (const std::exception&) {
    return Failed(CurrentError());
  }
  StepOutcome outcome;
  outcome.results.push_back(std::move(next));
  return outcome;
}

}  // namespace retort
