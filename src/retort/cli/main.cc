#include <CLI/CLI.hpp>
#include <algorithm>
#include <span>
#include <sstream>

#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/base/log.h"
#include "retort/cli/command.h"
#include "retort/cli/command_line.h"
#include "retort/cli/command_list.h"
#include "retort/cli/standard_streams.h"
#include "retort/pipeline/node_reader.h"

namespace {

constexpr const char* kVersion = "retort " RETORT_VERSION;

// The parser would only say that a command is required. `words` come after the name of `app`.
void CheckCommandName(const CLI::App& app, std::span<char* const> words, const std::string& path) {
  const std::vector<const CLI::App*> commands =
      app.get_subcommands([](const CLI::App*) { return true; });
  const std::string_view word = words.empty() ? "-" : words.front();
  if (commands.empty() || word.starts_with('-')) return;
  std::vector<std::string> names;
  for (const CLI::App* command : commands) {
    if (command->get_name() == word) {
      CheckCommandName(*command, words.subspan(1), path + " " + command->get_name());
      return;
    }
    names.push_back(command->get_name());
  }
  retort::Throw(retort::ErrorCode::kInvalid, "no command is named '{}'{}: {} --help lists them",
                word, retort::DidYouMean(word, names), path);
}

void AddOptionNames(const CLI::App& app, std::vector<std::string>& names) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const CLI::App* used : app.get_subcommands()) AddOptionNames(*used, names);
}

// For each option that the command does not have, the nearest that it has.
void PrintNearestOptions(const CLI::App& app) {
  std::vector<std::string> names;
  AddOptionNames(app, names);
  for (const std::string& word : app.remaining(true)) {
    if (!word.starts_with("--")) continue;
    const std::string name = word.substr(0, word.find('='));
    const std::string nearest = retort::NearestName(name, names);
    if (!nearest.empty()) {
      retort::Note("'{}': did you mean '{}'?\n", name, nearest);
    }
  }
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
    CheckCommandName(app, std::span(argv, static_cast<size_t>(argc)).subspan(argc > 0 ? 1 : 0),
                     "retort");
    std::vector<std::string> words = retort::CommandLine(app, argc, argv);
    std::reverse(words.begin(), words.end());  // as the parser wants them
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream err;
    const int status = app.exit(error, out, err);
    retort::PrintText(out.str());
    retort::NoteText(err.str());
    PrintNearestOptions(app);
    return status == 0 ? retort::kExitDone : retort::kExitInvalid;
  }
  if (verbose) retort::SetLogLevel(retort::LogLevel::kDebug);
  return chosen();
}

// An error is told after what came before it, whether that can be written or not.
void FlushWhatThereIs() {
  try {
    retort::FlushOutput();
  } catch (...) {
    // The error at hand is the one to tell.
  }
}

}  // namespace

int main(int argc, char** argv) {
  retort::PrepareStandardStreams();
  try {
    const int status = RunMain(argc, argv);
    retort::FlushOutput();
    return status;
  } catch (const retort::OutputClosed&) {
    return retort::kExitOutputClosed;
  } catch (...) {
    const retort::Error error = retort::CurrentError();
    FlushWhatThereIs();
    retort::Note("retort: {}\n", error.message());
    return retort::ExitStatus(error.code());
  }
}
