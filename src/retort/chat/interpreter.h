#pragma once

#include "retort/base/json.h"
#include "retort/chat/ast.h"
#include "retort/chat/runtime.h"

namespace retort::jinja {

// Renders `program` once. Throws Error with origin and line.
Text RenderProgram(const Program& program, const Json& context, const RenderOptions& options);

}  // namespace retort::jinja
