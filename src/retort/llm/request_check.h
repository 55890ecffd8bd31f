#pragma once

#include "retort/llm/request.h"

namespace retort {

inline constexpr int kStopStringsMax = 64;
inline constexpr size_t kStopStringBytesMax = 4096;
inline constexpr int kTopLogprobsMax = 256;

// Checks what needs no model: ranges and counts of the work's parameters. Throws Error{kInvalid}
// naming the parameter, its value and what it must be.
void CheckRequest(const Request& request);

}  // namespace retort
