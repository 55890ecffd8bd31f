#pragma once

#include "retort/llm/request.h"

namespace retort {

inline constexpr int kStopStringsMax = 64;
inline constexpr size_t kStopStringBytesMax = 4096;
inline constexpr int kTopLogprobsMax = 256;

// Throws Error{kInvalid} naming the parameter, its value and what it must be. Settings are checked
// one by one, so a file's can be checked where each of them stands.
void CheckSampling(const SamplingParams& sampling);

// Checks what needs no model: ranges and counts of the work's parameters. Throws Error{kInvalid}
// naming the parameter, its value and what it must be.
void CheckRequest(const Request& request);

}  // namespace retort
