#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "retort/pipeline/ledger.h"
#include "retort/pipeline/record_codec.h"
#include "retort/pipeline/row_flow.h"
#include "retort/pipeline/step_runtime.h"

namespace retort {

// How a step ended for one row.
struct StepOutcome {
  enum class Kind {
    kDone,
    kFailed,     // this row
    kCancelled,  // the run stops
    kFatal,      // the run must stop
  };
  Kind kind = Kind::kDone;
  std::vector<Item> results;   // of kDone; and of kFailed, if the row goes on with nulls
  std::optional<Error> error;  // of kFailed and kFatal
  std::string raw;             // of kFailed
};

// Runs steps on single rows: mappings, nulls, the ledger, failures. Stateless; thread-safe.
class StepRunner {
 public:
  // `ledger` may be null.
  StepRunner(Ledger* ledger, std::stop_token stop) : ledger_(ledger), stop_(std::move(stop)) {}

  // For kinds kRow and kRows. The results carry no groups.
  StepOutcome Run(StepRuntime& step, const Item& item) const;

  // Merges one item per predecessor.
  StepOutcome Join(StepRuntime& step, std::vector<Item> items) const;

 private:
  StepOutcome RunRow(StepRuntime& step, const Item& item) const;
  StepOutcome RunRows(StepRuntime& step, const Item& item) const;
  // Nothing, too, for what was made with a larger context than the model has.
  std::optional<StepOutputs> FindOutputs(StepRuntime& step, const LineageKey& key) const;

  Ledger* ledger_;
  std::stop_token stop_;
};

}  // namespace retort
