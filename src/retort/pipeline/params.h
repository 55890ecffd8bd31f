#pragma once

#include <string>
#include <utility>
#include <vector>

#include "retort/pipeline/problem.h"
#include "retort/pipeline/step.h"
#include "retort/pipeline/yaml_node.h"

namespace retort {

// The parameters of a step of this type, from the keys given: defaults filled in, types, ranges and
// choices checked, unknown names reported with the nearest known one, and the type's own `check`
// called if all else is well. `mark` is the step's place. Problems go to `problems`.
Params CheckParams(const StepType& type, const std::vector<std::pair<YamlNode, YamlNode>>& given,
                   const std::string& step_name, const Mark& mark, Problems& problems);

// Where the parameter stands that a message names in quotes; `otherwise` if none of `given` does.
Mark MarkOfParam(const std::vector<std::pair<YamlNode, YamlNode>>& given, std::string_view message,
                 const Mark& otherwise);

// The same from JSON: for tests and for callers that have no file. Throws Error{kInvalid}.
Params MakeParams(const StepType& type, const Json& given = Json::object());

}  // namespace retort
