#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "retort/base/error.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/llm/scripted_model.h"
#include "retort/pipeline/executor.h"
#include "retort/pipeline/graph.h"

// Small steps that show every kind, for tests of what runs them.
namespace retort::fake {

// Rows{data: [...]}; without data, `count` rows {"id": i}.
class Rows : public SourceStep {
 public:
  explicit Rows(const Params& params) : params_(params) {}
  void Read(const StepContext& context, const std::function<bool(Row)>& emit) override {
    if (params_.Has("fail")) Throw(ErrorCode::kIo, "{}", params_.String("fail"));
    for (const Json& row : params_.At("data")) {
      if (!emit(row)) return;
    }
    for (int64_t i = 0; i < params_.Int("count") && !context.cancelled(); ++i) {
      if (!emit({{"id", i}})) return;
    }
  }

 private:
  Params params_;
};

// Ask: text → answer, after `rounds` questions of which each has the last answer in it. Answers
// with "bad" in them fail.
class Ask : public RowStep {
 public:
  explicit Ask(const Params& params) : params_(params) {}
  Row Process(const Row& inputs, RowContext& context) const override {
    const Json& text = inputs.at("text");
    std::string answer = text.is_string() ? text.get<std::string>() : DumpJson(text);
    for (int64_t i = 0; i < params_.Int("rounds"); ++i) {
      ChatPrompt prompt;
      prompt.messages.push_back({{"role", "user"}, {"content", params_.String("prompt") + answer}});
      const auto copies = static_cast<size_t>(params_.Int("copies"));
      answer = context.Generate(std::vector<Prompt>(copies, prompt)).front().text;
      if (answer.find("bad") != std::string::npos) {
        context.KeepRaw(answer);
        Throw(ErrorCode::kInvalid, "a bad answer");
      }
    }
    return {{"answer", answer}};
  }

 private:
  Params params_;
};

// Draw: → number, from the row's own draws.
class Draw : public RowStep {
 public:
  Row Process(const Row&, RowContext& context) const override {
    return {{"number", context.Random(0) % 1000}};
  }
};

// Fork{column, parts}: one row per part, or `drop`s all.
class Split : public RowsStep {
 public:
  explicit Split(const Params& params) : params_(params) {}
  std::vector<Row> Process(Row row) const override {
    std::vector<Row> rows;
    for (int64_t i = 0; i < params_.Int("parts"); ++i) {
      rows.push_back(row);
      rows.back()["part"] = i;
    }
    return rows;
  }

 private:
  Params params_;
};

// Sort{by}: all rows by a column, at most `keep`.
class Sort : public GlobalStep {
 public:
  explicit Sort(const Params& params) : params_(params) {}
  std::vector<Output> Process(std::vector<Row> rows, const StepContext&) const override {
    std::vector<Output> outputs;
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i]["rows_seen"] = rows.size();
      outputs.push_back({std::move(rows[i]), i});
    }
    std::stable_sort(outputs.begin(), outputs.end(), [](const Output& a, const Output& b) {
      return DumpJson(a.row.at("value")) > DumpJson(b.row.at("value"));
    });
    const auto keep = static_cast<size_t>(params_.Int("keep"));
    if (outputs.size() > keep) outputs.resize(keep);
    return outputs;
  }

 private:
  Params params_;
};

// The union of the columns.
class Merge : public JoinStep {
 public:
  Row Process(std::vector<Row> rows) const override {
    Row merged = Row::object();
    for (const Row& row : rows) merged.update(row);
    return merged;
  }
};

// Pair: → left, right.
class Pair : public RowStep {
 public:
  Row Process(const Row&, RowContext&) const override { return {{"left", 1}, {"right", 2}}; }
};

// Picky: takes no rows with a column "no".
class Picky : public RowsStep {
 public:
  std::vector<Row> Process(Row row) const override { return {std::move(row)}; }
};

using Names = std::vector<std::string>;

inline std::vector<StepType> Types() {
  const auto names = [](Names list) { return [list](const Params&) { return list; }; };
  std::vector<StepType> types;
  types.push_back(
      {.name = "Rows",
       .kind = StepKind::kSource,
       .params = {{.name = "data", .type = ParamType::kAny, .default_value = Json::array()},
                  {.name = "count", .type = ParamType::kInt, .default_value = 0, .min = 0},
                  {.name = "fail", .type = ParamType::kString}},
       .create = [](const Params& p) -> std::unique_ptr<Step> {
         return std::make_unique<Rows>(p);
       }});
  types.push_back(
      {.name = "Ask",
       .kind = StepKind::kRow,
       .params =
           {{.name = "prompt", .type = ParamType::kString, .default_value = "ask "},
            {.name = "rounds", .type = ParamType::kInt, .default_value = 1, .min = 0, .max = 100},
            {.name = "copies", .type = ParamType::kInt, .default_value = 1, .min = 1}},
       .inputs = names({"text"}),
       .outputs = names({"answer"}),
       .model_use = [](const Params&) { return ModelUse::kGenerate; },
       .create = [](const Params& p) -> std::unique_ptr<Step> {
         return std::make_unique<Ask>(p);
       }});
  types.push_back(
      {.name = "Draw",
       .kind = StepKind::kRow,
       .outputs = names({"number"}),
       .create = [](const Params&) -> std::unique_ptr<Step> { return std::make_unique<Draw>(); }});
  types.push_back(
      {.name = "Split",
       .kind = StepKind::kRows,
       .params =
           {{.name = "parts", .type = ParamType::kInt, .default_value = 2, .min = 0, .max = 1000}},
       .outputs = names({"part"}),
       .create = [](const Params& p) -> std::unique_ptr<Step> {
         return std::make_unique<Split>(p);
       }});
  types.push_back(
      {.name = "Sort",
       .kind = StepKind::kGlobal,
       .params = {{.name = "keep", .type = ParamType::kInt, .default_value = 1'000'000}},
       .inputs = names({"value"}),
       .outputs = names({"rows_seen"}),
       .accepts_null = true,
       .create = [](const Params& p) -> std::unique_ptr<Step> {
         return std::make_unique<Sort>(p);
       }});
  types.push_back(
      {.name = "Merge",
       .kind = StepKind::kJoin,
       .create = [](const Params&) -> std::unique_ptr<Step> { return std::make_unique<Merge>(); }});
  types.push_back(
      {.name = "Keep",
       .kind = StepKind::kRows,
       .params = {{.name = "columns", .type = ParamType::kStringList, .required = true}},
       .inputs = [](const Params& p) { return p.Strings("columns"); },
       .columns_after = [](const Params& p, const Names&) { return p.Strings("columns"); },
       .create = [](const Params& p) -> std::unique_ptr<Step> {
         struct Keep : RowsStep {
           Names columns;
           std::vector<Row> Process(Row row) const override {
             Row kept = Row::object();
             for (const std::string& column : columns) kept[column] = row.at(column);
             return {kept};
           }
         };
         auto step = std::make_unique<Keep>();
         step->columns = p.Strings("columns");
         return step;
       }});
  types.push_back(
      {.name = "Pair",
       .kind = StepKind::kRow,
       .outputs = names({"left", "right"}),
       .create = [](const Params&) -> std::unique_ptr<Step> { return std::make_unique<Pair>(); }});
  types.push_back(
      {.name = "Picky",
       .kind = StepKind::kRows,
       .columns_after =
           [](const Params&, const Names& before) {
             if (std::find(before.begin(), before.end(), "no") != before.end()) {
               Throw(ErrorCode::kInvalid, "no 'no' here");
             }
             return before;
           },
       .create = [](const Params&) -> std::unique_ptr<Step> { return std::make_unique<Picky>(); }});
  return types;
}

// Gives one model under every name.
class OneModel : public ModelSource {
 public:
  explicit OneModel(std::shared_ptr<LanguageModel> model) : model_(std::move(model)) {}
  std::shared_ptr<LanguageModel> Acquire(const std::string&) override {
    ++num_loads;
    return model_;
  }
  std::shared_ptr<const ModelIdentity> Identify(const std::string&) override { return model_; }
  std::atomic<int> num_loads = 0;

 private:
  std::shared_ptr<LanguageModel> model_;
};

using TempDir = ScratchFolder;

}  // namespace retort::fake
