#include "retort/steps/step_list.h"

#include <array>

namespace retort {

std::span<const StepType> StepList() {
  static const std::array kSteps = {
      CombineOutputsType(),  //
      ConversationTemplateType(), DeitaFilteringType(),    ExpandColumnsType(),
      KeepColumnsType(),          LoadDataFromDictsType(), LoadDataFromFileSystemType(),
  };
  return kSteps;
}

}  // namespace retort
