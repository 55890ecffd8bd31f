#pragma once

#include <functional>
#include <span>
#include <string_view>

namespace CLI {
class App;
}

namespace retort {

// A subcommand: adds its options to `app` and returns what runs it, giving the exit status
// (docs/EXIT_STATUS.md). An Error thrown by it is printed by main.
struct Command {
  std::string_view name;
  std::string_view summary;
  std::function<int()> (*add)(CLI::App& app);
};

// Every subcommand, in the order of --help. Adding one: a source file that defines its Add
// function, its lines in command_list.{h,cc}, and a test.
std::span<const Command> CommandList();

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailedRows = 1;  // done, some rows failed
inline constexpr int kExitInvalid = 2;     // bad use, or an invalid file
inline constexpr int kExitNothing = 3;     // no row was produced
inline constexpr int kExitInterrupted = 130;
inline constexpr int kExitOutputClosed = 141;  // as a shell shows a process that SIGPIPE ended

}  // namespace retort
