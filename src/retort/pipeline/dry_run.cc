#include "retort/pipeline/dry_run.h"

#include <fmt/ranges.h>

#include <cmath>
#include <map>
#include <sstream>
#include <unordered_map>

#include "retort/base/json_object.h"
#include "retort/base/random.h"
#include "retort/pipeline/input_kinds.h"
#include "retort/pipeline/row_columns.h"
#include "retort/pipeline/step_runner.h"

namespace retort {
namespace {

constexpr size_t kEmbeddingDim = 8;  // of made-up embeddings

std::string PromptText(const Prompt& prompt) {
  if (const auto* chat = std::get_if<ChatPrompt>(&prompt)) {
    std::string text;
    for (const Json& message : chat->messages) {
      const Json content = message.value("content", Json());
      text += fmt::format("[{}]\n{}\n", message.value("role", std::string("?")),
                          content.is_string() ? content.get<std::string>() : DumpJson(content));
    }
    return text;
  }
  if (const auto* spans = std::get_if<std::vector<Span>>(&prompt)) return PlainText(*spans);
  return fmt::format("{} token ids", std::get<std::vector<int32_t>>(prompt).size());
}

// Answers without a model, and remembers what was asked.
class RecordingContext : public RowContext {
 public:
  RecordingContext(const GraphStep& step, std::stop_token stop)
      : step_(step), stop_(std::move(stop)) {}

  uint64_t Random(uint64_t draw) const override { return RandomBits(0, draw); }
  std::vector<Answer> GenerateEach(std::vector<Prompt> prompts,
                                   std::shared_ptr<const ConstraintText>) override {
    std::vector<Answer> answers(prompts.size());
    for (size_t i = 0; i < prompts.size(); ++i) {
      Record(prompts[i]);
      answers[i].completion.text = fmt::format("<answer {} of {}>", num_requests, step_.name());
    }
    return answers;
  }
  std::vector<Scores> Score(std::vector<Prompt> prompts,
                            std::vector<std::string> continuations) override {
    for (const Prompt& prompt : prompts) Record(prompt);
    Scores scores;
    for (size_t i = 0; i < continuations.size(); ++i) scores.continuations.push_back({-1, -1, 1});
    return std::vector<Scores>(prompts.size(), scores);
  }
  std::vector<float> Embed(Prompt prompt, PoolingKind, bool) override {
    Record(prompt);
    return std::vector<float>(kEmbeddingDim, 1.0f);
  }
  std::stop_token stop() const override { return stop_; }
  std::string_view model_name() const override {
    return step_.config.llm ? std::string_view(*step_.config.llm) : std::string_view();
  }
  void KeepRaw(std::string_view) override {}

  uint64_t num_requests = 0;
  std::optional<std::string> first_prompt;

 private:
  void Record(const Prompt& prompt) {
    ++num_requests;
    if (!first_prompt) first_prompt = PromptText(prompt);
  }

  const GraphStep& step_;
  std::stop_token stop_;
};

// The last value of a column counts.
void AddValues(const Row& row, std::unordered_map<std::string_view, const Json*>& values) {
  for (const auto& [column, value] : row.get_ref<const Json::object_t&>()) values[column] = &value;
}

// A row of these columns, with made-up text where there is no value.
Row RowOf(const std::vector<std::string>& columns,
          const std::unordered_map<std::string_view, const Json*>& values) {
  Json::object_t row;
  for (const std::string& column : columns) {
    const auto found = values.find(column);
    AppendMember(row, column,
                 found == values.end() ? Json(fmt::format("<{}>", column)) : *found->second);
  }
  return row;
}

// The first row after each step, and how many rows stand behind it.
struct Sample {
  Row row = Row::object();
  double rows = 0;
};

class Planner {
 public:
  Planner(const Graph& graph, std::optional<uint64_t> limit, std::stop_token stop)
      : graph_(graph), limit_(limit), stop_(std::move(stop)) {}

  RunPlan Plan() {
    RunPlan plan;
    for (const size_t index : graph_.order) {
      ThrowIfStopped();
      const GraphStep& step = graph_.steps[index];
      planned_ = {};
      planned_.name = step.name();
      planned_.type = step.type->name;
      planned_.model = step.config.llm.value_or("");
      planned_.columns = step.columns;
      double rows_in = 0;
      for (const size_t before : step.after) {
        planned_.after.push_back(graph_.steps[before].name());
        const double rows = samples_[before].rows;
        rows_in = step.kind() == StepKind::kJoin ? std::max(rows_in, rows) : rows_in + rows;
      }
      planned_.rows_in = static_cast<uint64_t>(std::llround(rows_in));
      samples_[index] = Run(step, rows_in);
      planned_.rows_out = static_cast<uint64_t>(std::llround(samples_[index].rows));
      if (step.kind() == StepKind::kSource) plan.num_source_rows += planned_.rows_out;
      plan.num_requests += planned_.num_requests;
      plan.steps.push_back(planned_);
    }
    for (const std::string& name : graph_.UsedModels()) {
      plan.models.push_back(*graph_.config.FindModel(name));
    }
    return plan;
  }

 private:
  Sample Run(const GraphStep& step, double rows_in) {
    switch (step.kind()) {
      case StepKind::kSource:
        return ReadSource(step);
      case StepKind::kRow:
        return {RunRow(step), rows_in};
      case StepKind::kRows:
        return RunRows(step, rows_in);
      case StepKind::kGlobal:
        planned_.note = "sees all rows at once; how many it keeps is not known before the run";
        return {WithPlaceholders(step, First(step)), rows_in};
      case StepKind::kJoin: {
        std::unordered_map<std::string_view, const Json*> values;
        for (const size_t before : step.after) AddValues(samples_[before].row, values);
        return {RowOf(step.columns, values), rows_in};
      }
    }
    Throw(ErrorCode::kInternal, "no such kind of step");
  }

  const Row& First(const GraphStep& step) { return samples_[step.after.front()].row; }

  Sample ReadSource(const GraphStep& step) {
    Sample sample;
    StepContext context;
    context.base_dir = graph_.config.base_dir.string();
    context.seed = graph_.config.seed;
    context.cancelled = [this] { return stop_.stop_requested(); };
    const auto source = step.type->create(step.params);
    uint64_t num_rows = 0;
    if (limit_ == 0) return sample;
    dynamic_cast<SourceStep&>(*source).Read(context, [&](Row row) {
      if (num_rows == 0) {
        sample.row = std::move(row);
        ToColumnNames(step, sample.row);
      }
      ++num_rows;
      return !stop_.stop_requested() && (!limit_ || num_rows < *limit_);
    });
    ThrowIfStopped();
    sample.rows = static_cast<double>(num_rows);
    return sample;
  }

  static Row WithPlaceholders(const GraphStep& step, Row row) {
    for (const ColumnBinding& output : step.outputs) {
      row[output.column] = fmt::format("<{} of {}>", output.column, step.name());
    }
    return row;
  }

  // Made-up text where the step may want a list.
  static Row WithLists(const GraphStep& step, Row row) {
    for (const ColumnBinding& input : step.inputs) {
      Json& value = row[input.column];
      if (value.is_string()) value = Json::array({value});
    }
    return row;
  }

  Row RunRow(const GraphStep& step) {
    const auto runnable = step.type->create(step.params);
    std::string reason;
    for (const bool lists : {false, true}) {
      const Row row = lists ? WithLists(step, First(step)) : First(step);
      Row inputs = Row::object();
      for (const ColumnBinding& input : step.inputs) {
        if (row.contains(input.column)) inputs[input.own] = row.at(input.column);
      }
      RecordingContext context(step, stop_);
      std::optional<Row> outputs;
      try {
        CheckInputKinds(*step.type, step.inputs, inputs);
        outputs = dynamic_cast<const RowStep&>(*runnable).Process(inputs, context);
      } catch (const std::exception&) {
        ThrowIfStopped();
        if (reason.empty() || context.num_requests > 0) reason = CurrentError().message();
        if (context.num_requests == 0) continue;
        planned_.note = "the number of requests is a guess: " + reason;
      }
      planned_.prompt = context.first_prompt;
      planned_.num_requests = planned_.rows_in * context.num_requests;
      if (!outputs) break;
      Row next = First(step);
      for (const ColumnBinding& output : step.outputs) {
        next[output.column] = (*outputs)[output.own];
      }
      return next;
    }
    if (step.model_use != ModelUse::kNone && !planned_.prompt) {
      planned_.num_requests = planned_.rows_in;
      planned_.note = "cannot be tried as it stands: " + reason;
    }
    return WithPlaceholders(step, First(step));
  }

  Sample RunRows(const GraphStep& step, double rows_in) {
    const auto runnable = step.type->create(step.params);
    for (const bool lists : {false, true}) {
      Row row = lists ? WithLists(step, First(step)) : First(step);
      try {
        ToOwnNames(step, row);
        std::vector<Row> rows = dynamic_cast<const RowsStep&>(*runnable).Process(std::move(row));
        if (rows.empty()) break;
        ToColumnNames(step, rows.front());
        const auto factor = static_cast<double>(rows.size());
        return {std::move(rows.front()), rows_in * factor};
      } catch (const std::exception&) {
        planned_.note = "how many rows it makes is a guess: " + CurrentError().message();
      }
    }
    std::unordered_map<std::string_view, const Json*> values;
    AddValues(First(step), values);
    return {RowOf(step.columns, values), rows_in};
  }

  void ThrowIfStopped() const {
    if (stop_.stop_requested()) Throw(ErrorCode::kCancelled, "interrupted");
  }

  const Graph& graph_;
  std::optional<uint64_t> limit_;
  std::stop_token stop_;
  std::map<size_t, Sample> samples_;
  PlannedStep planned_;
};

}  // namespace

RunPlan PlanRun(const Graph& graph, std::optional<uint64_t> limit, std::stop_token stop) {
  return Planner(graph, limit, std::move(stop)).Plan();
}

std::string ToText(const RunPlan& plan) {
  std::string text;
  for (const ModelConfig& model : plan.models) {
    text += fmt::format("model {}: {}\n", model.name, model.path);
  }
  for (const PlannedStep& step : plan.steps) {
    text += fmt::format("\n{} ({})", step.name, step.type);
    if (!step.after.empty()) text += fmt::format(" after {}", fmt::join(step.after, ", "));
    if (!step.model.empty()) text += fmt::format(" on {}", step.model);
    text += step.after.empty() ? fmt::format("\n  rows {}", step.rows_out)
                               : fmt::format("\n  rows {} -> {}", step.rows_in, step.rows_out);
    if (step.num_requests > 0) text += fmt::format(", requests {}", step.num_requests);
    text += fmt::format("\n  columns {}\n", fmt::join(step.columns, ", "));
    if (!step.note.empty()) text += fmt::format("  note: {}\n", step.note);
    if (!step.prompt) continue;
    text += "  prompt of the first row:\n";
    std::istringstream lines(*step.prompt);
    for (std::string line; std::getline(lines, line);) text += "    | " + line + "\n";
  }
  text += fmt::format("\n{} source rows, about {} requests to models\n", plan.num_source_rows,
                      plan.num_requests);
  return text;
}

}  // namespace retort
