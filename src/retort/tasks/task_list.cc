#include "retort/tasks/task_list.h"

#include <array>

namespace retort {

std::span<const StepType> TaskList() {
  static const std::array kTasks = {
      ComplexityScorerType(),  //
      EvolInstructType(),     EvolQualityType(),    GenerateEmbeddingsType(),
      QualityScorerType(),    TextGenerationType(),
  };
  return kTasks;
}

}  // namespace retort
