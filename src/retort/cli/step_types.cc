#include "retort/cli/step_types.h"

#include "retort/steps/step_list.h"
#include "retort/tasks/task_list.h"

namespace retort {

std::vector<StepType> AllStepTypes() {
  std::vector<StepType> types(StepList().begin(), StepList().end());
  types.insert(types.end(), TaskList().begin(), TaskList().end());
  return types;
}

}  // namespace retort
