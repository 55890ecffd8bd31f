#pragma once

#include <string_view>

#include "retort/pipeline/graph.h"
#include "retort/pipeline/step.h"

namespace retort {

// "a text", "a list of texts", ...: what a column of this type must hold.
std::string_view InputKindText(InputKind type);

// Of an input column of a step type, under the type's own name.
InputKind InputKindOf(const StepType& type, std::string_view own_name);

// Throws Error{kInvalid} naming the column, the type expected and the one found, for an input that
// is not of its declared type. Missing and null inputs are the caller's matter.
void CheckInputKinds(const StepType& type, const std::vector<ColumnBinding>& bindings,
                     const Row& inputs);

}  // namespace retort
