#pragma once

#include <span>
#include <string>
#include <string_view>

#include "retort/pipeline/step.h"

namespace retort {

// A key that a step of any type may have, beside the parameters of its type.
struct StepKey {
  enum class Of { kAny, kModels, kGenerates, kColumns, kRows };
  std::string_view name;
  std::string_view values;
  std::string_view help;
  // Which steps: all; those that use a model; that generate; all but joins, which take no mappings;
  // all but sources.
  Of of = Of::kAny;
};
std::span<const StepKey> StepKeys();

// A step of this type as it may stand in a pipeline file, under `steps:`.
std::string StepExample(const StepType& type);

// What a person asks of a step type: what it does, the columns it takes and makes as its example
// has it, its parameters, the keys that every step has, the example.
std::string StepHelp(const StepType& type);

}  // namespace retort
