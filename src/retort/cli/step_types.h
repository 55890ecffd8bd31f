#pragma once

#include <vector>

#include "retort/pipeline/step.h"

namespace retort {

// Every step and task a pipeline file can name.
std::vector<StepType> AllStepTypes();

}  // namespace retort
