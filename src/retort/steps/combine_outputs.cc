#include <unordered_map>

#include "retort/base/error.h"
#include "retort/base/json_object.h"
#include "retort/pipeline/step.h"
#include "retort/steps/step_list.h"

namespace retort {
namespace {

class CombineOutputs : public JoinStep {
 public:
  Row Process(std::vector<Row> rows) const override {
    Row combined = std::move(rows.front());
    auto& columns = combined.get_ref<Json::object_t&>();
    std::unordered_map<std::string, size_t> places;
    for (const auto& [column, value] : columns) places.emplace(column, places.size());
    for (size_t i = 1; i < rows.size(); ++i) {
      for (auto& [column, value] : rows[i].get_ref<Json::object_t&>()) {
        const auto [place, added] = places.emplace(column, columns.size());
        if (added) {
          AppendMember(columns, column, std::move(value));
        } else {
          Merge(column, std::next(columns.begin(), static_cast<ptrdiff_t>(place->second))->second,
                std::move(value));
        }
      }
    }
    return combined;
  }

 private:
  // The graph check allows a column in several branches only if it comes from their common ancestor
  // or must be the same in all. Null is what a step that failed left of it.
  static void Merge(const std::string& column, Json& kept, Json value) {
    if (kept.is_null()) {
      kept = std::move(value);
    } else if (!value.is_null() && value != kept) {
      Throw(ErrorCode::kInvalid,
            "the branches of the row have different values in the column '{}': give one of them "
            "another name with 'output_mappings'",
            column);
    }
  }
};

}  // namespace

StepType CombineOutputsType() {
  return {
      .name = "CombineOutputs",
      .summary = "Merges the rows that parallel branches made of the same row into one row.",
      .version = 2,
      .kind = StepKind::kJoin,
      .create = [](const Params&) { return std::make_unique<CombineOutputs>(); },
  };
}

}  // namespace retort
