#pragma once

#include <span>

#include "retort/pipeline/step.h"

namespace retort {

// Every step that is no task, in alphabetical order. Adding one: a source file that defines its
// StepType function, its two lines here and in step_list.cc, and a test.
std::span<const StepType> StepList();

StepType CombineOutputsType();
StepType ConversationTemplateType();
StepType DeitaFilteringType();
StepType ExpandColumnsType();
StepType KeepColumnsType();
StepType LoadDataFromDictsType();
StepType LoadDataFromFileSystemType();

}  // namespace retort
