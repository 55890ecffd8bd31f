#include "retort/steps/step_list.h"

#include <array>

namespace retort {

std::span<const StepType> StepList() {
  static const std::array kSteps = {
      CombineOutputsType(),  //
      ConversationTemplateType(),
      DeitaFilteringType(),
      ExpandColumnsType(),
  };
  return kSteps;
}

}  // namespace retort
