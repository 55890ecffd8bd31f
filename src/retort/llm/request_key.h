#pragma once

#include "retort/base/digest.h"
#include "retort/llm/request.h"

namespace retort {

// Adds everything of a request that can change its answer, except the prompt: the kind of work and
// all its parameters, field by field. The prompt is added by the model, which knows what its
// rendering depends on.
void AddWork(Sha256& digest, const Request& request);

}  // namespace retort
