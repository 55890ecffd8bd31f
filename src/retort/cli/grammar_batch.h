#pragma once

#include <functional>
#include <iosfwd>
#include <string>

#include "retort/grammar/grammar.h"

namespace retort {

// One JSON object per line: {"schema": ..., "texts": [...], "samples": N, "seed": S}; the last
// three may be missing. Prints one line for each: {"accepted": [bool ...], "samples": [text or null
// ...]}, or {"refused": message, "code": name of the error's kind}. Throws Error{kInvalid} for a
// line that is none of these.
void CheckGrammarBatch(std::istream& in, const std::function<void(const std::string&)>& print,
                       const JsonSchemaOptions& options);

}  // namespace retort
