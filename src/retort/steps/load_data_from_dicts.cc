#include <unordered_set>

#include "retort/base/error.h"
#include "retort/pipeline/step.h"
#include "retort/steps/step_list.h"

namespace retort {
namespace {

class LoadDataFromDicts : public SourceStep {
 public:
  explicit LoadDataFromDicts(Json rows) : rows_(std::move(rows)) {}

  void Read(const StepContext&, const std::function<bool(Row)>& emit) override {
    for (const Json& row : rows_) {
      if (!emit(row)) return;
    }
  }

 private:
  Json rows_;
};

// Every row has the first row's columns: the graph check promises them to the steps that follow.
void CheckRows(const Json& rows) {
  if (!rows.is_array() || rows.empty() || !rows.front().is_object()) {
    Throw(ErrorCode::kInvalid, "parameter 'data' must be a list of rows (maps), with at least one");
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].is_object()) {
      Throw(ErrorCode::kInvalid, "parameter 'data': row {} is not a map but {}", i,
            rows[i].type_name());
    }
    std::unordered_set<std::string_view> columns;
    for (const auto& [column, value] : rows[i].get_ref<const Json::object_t&>()) {
      columns.insert(column);
    }
    for (const auto& [column, value] : rows.front().get_ref<const Json::object_t&>()) {
      if (!columns.contains(column)) {
        Throw(ErrorCode::kInvalid, "parameter 'data': row {} lacks column '{}' of the first row", i,
              column);
      }
    }
  }
}

}  // namespace

StepType LoadDataFromDictsType() {
  return {
      .name = "LoadDataFromDicts",
      .summary = "Rows written in the pipeline file itself.",
      .example = "data:\n  - {instruction: Name a fruit.}\n  - {instruction: Name a stone.}",
      .kind = StepKind::kSource,
      .params = {{.name = "data",
                  .type = ParamType::kAny,
                  .required = true,
                  .help = "The rows: a list of maps from column to value."}},
      .outputs =
          [](const Params& params) {
            std::vector<std::string> columns;
            for (const auto& [column, value] : params.At("data").front().items()) {
              columns.push_back(column);
            }
            return columns;
          },
      .check = [](const Params& params) { CheckRows(params.At("data")); },
      .create = [](const Params& params) -> std::unique_ptr<Step> {
        return std::make_unique<LoadDataFromDicts>(params.At("data"));
      },
  };
}

}  // namespace retort
