#pragma once

#include <string>
#include <vector>

namespace retort {

struct ProgramResult {
  int exit_status;          // 127: not found; 128 + signal if it was killed
  std::string output_tail;  // the end of standard output and standard error together
};

// How much of a program's output is kept.
inline constexpr size_t kOutputTailBytesMax = 4096;

// Runs a program found in $PATH with exactly these arguments (no shell), no input, and waits for
// it. Throws Error{kIo} if the system cannot start one.
ProgramResult RunProgram(const std::vector<std::string>& arguments);

}  // namespace retort
