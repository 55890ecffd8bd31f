#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "retort/base/error.h"
#include "retort/base/log.h"
#include "retort/cli/command.h"
#include "retort/cli/command_list.h"
#include "retort/pipeline/node_reader.h"

namespace {

constexpr const char* kVersion = "retort " RETORT_VERSION;

// The parser would only say that a command is required.
void CheckCommandName(int argc, char** argv) {
  const std::string_view word = argc > 1 ? argv[1] : "-";
  if (word.starts_with('-')) return;
  std::vector<std::string> names;
  for (const retort::Command& command : retort::CommandList()) names.emplace_back(command.name);
  if (std::find(names.begin(), names.end(), word) != names.end()) return;
  retort::Throw(retort::ErrorCode::kInvalid, "no command is named '{}'{}: retort --help lists them",
                word, retort::DidYouMean(word, names));
}

int RunMain(int argc, char** argv) {
  CLI::App app("Load a language model once, run everything on it.", "retort");
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  bool verbose = false;
  app.add_flag("-v,--verbose", verbose, "Say more on standard error");
  std::function<int()> chosen;
  for (const retort::Command& command : retort::CommandList()) {
    CLI::App* subcommand =
        app.add_subcommand(std::string(command.name), std::string(command.summary));
    subcommand->callback([&chosen, run = command.add(*subcommand)] { chosen = run; });
  }
  try {
    CheckCommandName(argc, argv);
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);
    return status == 0 ? retort::kExitDone : retort::kExitInvalid;
  }
  if (verbose) retort::SetLogLevel(retort::LogLevel::kDebug);
  return chosen();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return RunMain(argc, argv);
  } catch (...) {
    const retort::Error error = retort::CurrentError();
    std::fprintf(stderr, "retort: %s\n", error.what());
    return retort::ExitStatus(error.code());
  }
}
