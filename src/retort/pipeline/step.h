#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/llm/request.h"

// What a step is. A step or task is one source file that defines one StepType, and one line in the
// list of its room.
namespace retort {

// One row of a dataset: a JSON object, column → value, in column order.
using Row = Json;

enum class ParamType { kBool, kInt, kFloat, kString, kStringList, kObject, kAny };

// One parameter of a step, as the pipeline file may set it.
struct ParamSpec {
  std::string_view name;
  ParamType type = ParamType::kString;
  Json default_value = nullptr;  // null: no value unless set
  bool required = false;
  double min = -1e300;  // of kInt and kFloat, inclusive
  double max = 1e300;
  std::vector<std::string_view> choices =
      {};                      // of kString and the items of kStringList; empty: any
  std::string_view help = {};  // one sentence
};

// The checked parameters of one step: every value present (set or default) and of its declared type
// and range.
class Params {
 public:
  explicit Params(Json values) : values_(std::move(values)) {}

  // Names come from the step's own list; asking for another is Error{kInternal}.
  const Json& At(std::string_view name) const;
  bool Has(std::string_view name) const { return !At(name).is_null(); }
  bool Bool(std::string_view name) const;
  int64_t Int(std::string_view name) const;
  double Float(std::string_view name) const;
  std::string String(std::string_view name) const;
  std::vector<std::string> Strings(std::string_view name) const;
  const Json& values() const { return values_; }

 private:
  Json values_;
};

// One of several answers to a row's prompts.
struct Answer {
  Completion completion;
  // Why the text is no answer: it is not what the step's `structured_output` asks for.
  std::optional<Error> error;
  // `structured_output` says what the text is to the letter, white space at its ends included.
  bool as_generated = false;
};

// A text of white space, or of nothing.
bool IsBlank(std::string_view text);

// What one row's processing may use beside its inputs. Calls to the model block until the answer is
// there; they throw the request's Error. One context serves one row of one step and one thread.
class RowContext {
 public:
  virtual ~RowContext() = default;

  // Random bits that depend on the run's seed, the step's identity, the row's lineage and `draw`
  // alone.
  virtual uint64_t Random(uint64_t draw) const = 0;

  // Continuations of each prompt, submitted together, with the step's `generation` settings and a
  // seed of its own for each. The n-th prompt of a row ever asked for has the same seed in every
  // run. Throws if a request fails; its siblings' answers are kept for the next run.
  //
  // Without the step's (or the row's) `structured_output`, an answer is a text of `constraint`, if
  // given, as far as the model honours it: check Completion::constraint_met, or what it says.
  virtual std::vector<Answer> GenerateEach(std::vector<Prompt> prompts,
                                           std::shared_ptr<const ConstraintText> constraint) = 0;
  // The same for those who need every answer: the first that is none fails the row.
  std::vector<Completion> Generate(std::vector<Prompt> prompts,
                                   std::shared_ptr<const ConstraintText> constraint = nullptr);
  // Log-probabilities of the same continuations after each prompt, submitted together.
  virtual std::vector<Scores> Score(std::vector<Prompt> prompts,
                                    std::vector<std::string> continuations) = 0;
  virtual std::vector<float> Embed(Prompt prompt, PoolingKind pooling, bool normalize) = 0;

  // Somebody asked the run to stop: for work in the step itself that may take long.
  virtual std::stop_token stop() const { return {}; }

  // The name of the step's model in the pipeline file, or "".
  virtual std::string_view model_name() const = 0;

  // Text to keep with the row should this step fail on it (the answer that could not be parsed).
  virtual void KeepRaw(std::string_view text) = 0;
};

// Where a source, or a global step, finds itself.
struct StepContext {
  std::string base_dir;  // relative paths in the pipeline file start here
  uint64_t seed = 0;     // of the run
  std::function<bool()> cancelled = [] { return false; };
  // A line for the user, e.g. a bad input line that was skipped.
  std::function<void(std::string_view)> warn = [](std::string_view) {};
  // A file that was read, and how many rows came of it: for the run's report.
  std::function<void(const std::filesystem::path&, uint64_t)> note_file =
      [](const std::filesystem::path&, uint64_t) {};
};

// One configured step. Which of the classes below it is follows from its type's kind.
class Step {
 public:
  virtual ~Step() = default;
};

// Makes rows.
class SourceStep : public Step {
 public:
  // Calls `emit` once per row, in order, until it returns false.
  virtual void Read(const StepContext& context, const std::function<bool(Row)>& emit) = 0;
};

// Adds columns to a row. Called from many threads at once on one object.
class RowStep : public Step {
 public:
  // `inputs` holds the declared input columns under the step's own names; the result holds exactly
  // the declared outputs. An Error thrown fails this row alone.
  virtual Row Process(const Row& inputs, RowContext& context) const = 0;
};

// Turns one whole row into any number of whole rows (expands, projects, filters). Called from many
// threads at once.
class RowsStep : public Step {
 public:
  virtual std::vector<Row> Process(Row row) const = 0;
};

// Sees all rows at once, in lineage order.
class GlobalStep : public Step {
 public:
  struct Output {
    Row row;                 // whole
    size_t input_index = 0;  // of the row it came from
  };
  virtual std::vector<Output> Process(std::vector<Row> rows, const StepContext& context) const = 0;
};

// Merges the rows that several predecessors made of one and the same ancestor row.
class JoinStep : public Step {
 public:
  // One whole row per predecessor, in the order of `after`.
  virtual Row Process(std::vector<Row> rows) const = 0;
};

enum class StepKind { kSource, kRow, kRows, kGlobal, kJoin };

// What a step's input column holds. Rows with another type fail before the step sees them.
enum class InputKind {
  kAny,
  kText,
  kTextList,            // of texts, and nulls where an answer is missing
  kTextOrConversation,  // a text, or a list of chat messages
};

enum class ModelUse { kNone, kGenerate, kScore, kEmbed };

// Describes a kind of step: everything validation, documentation and the executor need.
struct StepType {
  std::string_view name;          // "EvolInstruct", as in the pipeline file's `type:`
  std::string_view summary = {};  // one sentence, and the paper it is after
  std::string_view example = {};  // YAML: its own parameters as someone might set them
  int version =
      1;  // of its code and prompts: part of every cache key; raise it when answers may change
  StepKind kind = StepKind::kRow;
  std::vector<ParamSpec> params = {};

  // Columns needed, and made, under the step's own names, given its parameters.
  std::function<std::vector<std::string>(const Params&)> inputs = [](const Params&) {
    return std::vector<std::string>();
  };
  std::function<std::vector<std::string>(const Params&)> optional_inputs = [](const Params&) {
    return std::vector<std::string>();
  };
  std::function<std::vector<std::string>(const Params&)> outputs = [](const Params&) {
    return std::vector<std::string>();
  };
  // Of a row step: input columns, under its own names, that must hold more than any value.
  std::vector<std::pair<std::string_view, InputKind>> input_kinds = {};
  // For kinds that rewrite rows (kRows, kGlobal): the columns after the step, given those before
  // it. Unset: before + outputs.
  std::function<std::vector<std::string>(const Params&, const std::vector<std::string>& before)>
      columns_after = {};

  // Checks that go beyond types and ranges (parameters that exclude each other, a template that
  // does not parse): throws Error{kInvalid} naming the parameter.
  std::function<void(const Params&)> check = [](const Params&) {};

  // What is allowed, but is likely a mistake: one sentence each, naming the parameter.
  std::function<std::vector<std::string>(const Params&)> warnings = [](const Params&) {
    return std::vector<std::string>();
  };

  // Which ways it uses a model: needs `llm:` in the pipeline file unless kNone.
  std::function<ModelUse(const Params&)> model_use = [](const Params&) { return ModelUse::kNone; };

  // A row step is not called when a required input is null (its row failed upstream: the failure is
  // passed on); one that can deal with nulls says so.
  bool accepts_null = false;

  // Makes the step, of the class that `kind` names. Called after `check`.
  std::function<std::unique_ptr<Step>(const Params&)> create;
};

}  // namespace retort
