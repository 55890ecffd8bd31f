#pragma once

#include <span>

#include "retort/pipeline/step.h"

namespace retort {

// Every step that uses a model, in alphabetical order. Adding one: a source file that defines its
// StepType function, its two lines here and in task_list.cc, and a test.
std::span<const StepType> TaskList();

StepType ComplexityScorerType();
StepType EvolInstructType();
StepType EvolQualityType();
StepType GenerateEmbeddingsType();
StepType QualityScorerType();
StepType TextGenerationType();

}  // namespace retort
