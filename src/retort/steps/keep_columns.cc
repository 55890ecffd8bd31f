#include <unordered_map>

#include "retort/base/error.h"
#include "retort/base/json_object.h"
#include "retort/pipeline/step.h"
#include "retort/steps/step_list.h"

namespace retort {
namespace {

class KeepColumns : public RowsStep {
 public:
  explicit KeepColumns(std::vector<std::string> columns) : columns_(std::move(columns)) {}

  std::vector<Row> Process(Row row) const override {
    std::unordered_map<std::string_view, Json*> values;
    for (auto& [column, value] : row.get_ref<Json::object_t&>()) values.emplace(column, &value);
    Json::object_t kept;
    for (const std::string& column : columns_) {
      const auto found = values.find(column);
      if (found == values.end()) {
        Throw(ErrorCode::kInvalid, "the row has no column '{}'", column);
      }
      AppendMember(kept, column, std::move(*found->second));
    }
    return {std::move(kept)};
  }

 private:
  std::vector<std::string> columns_;
};

}  // namespace

StepType KeepColumnsType() {
  return {
      .name = "KeepColumns",
      .summary = "Keeps the named columns, in the order named, and drops the others.",
      .example = "columns: [instruction, generation]",
      .kind = StepKind::kRows,
      .params = {{.name = "columns",
                  .type = ParamType::kStringList,
                  .required = true,
                  .help = "Columns to keep, in this order."}},
      .inputs = [](const Params& params) { return params.Strings("columns"); },
      .columns_after = [](const Params& params,
                          const std::vector<std::string>&) { return params.Strings("columns"); },
      .create = [](const Params& params) -> std::unique_ptr<Step> {
        return std::make_unique<KeepColumns>(params.Strings("columns"));
      },
  };
}

}  // namespace retort
