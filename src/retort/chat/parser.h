#pragma once

#include <memory>

#include "retort/chat/ast.h"
#include "retort/chat/lexer.h"

namespace retort::jinja {

// Parses a template. Throws Error{kInvalid} with origin and line, kUnsupported for a tag that this
// engine leaves out, kExhausted beyond a bound of template.h.
std::shared_ptr<const Program> ParseProgram(std::string_view source, std::string_view origin,
                                            const TemplateOptions& options);

}  // namespace retort::jinja
