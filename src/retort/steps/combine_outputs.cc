#include "retort/pipeline/step.h"
#include "retort/steps/step_list.h"

namespace retort {
namespace {

class CombineOutputs : public JoinStep {
 public:
  Row Process(std::vector<Row> rows) const override {
    Row combined = std::move(rows.front());
    for (size_t i = 1; i < rows.size(); ++i) {
      for (auto& [column, value] : rows[i].items()) {
        // The graph check allows a column in several branches only if it comes from their common
        // ancestor.
        if (!combined.contains(column)) combined[column] = std::move(value);
      }
    }
    return combined;
  }
};

}  // namespace

StepType CombineOutputsType() {
  return {
      .name = "CombineOutputs",
      .summary = "Merges the rows that parallel branches made of the same row into one row.",
      .kind = StepKind::kJoin,
      .create = [](const Params&) { return std::make_unique<CombineOutputs>(); },
  };
}

}  // namespace retort
