#include "retort/cli/command_line.h"

#include <CLI/CLI.hpp>

#include "retort/base/error.h"
#include "retort/base/printable.h"
#include "retort/base/utf8.h"

namespace retort {
namespace {

// The options of a command and of the commands below it that the arguments name.
class KnownOptions {
 public:
  explicit KnownOptions(const CLI::App& app) : apps_{&app} {}

  void EnterCommand(const std::string& word) {
    for (const CLI::App* command : apps_.back()->get_subcommands({})) {
      if (command->get_name() != word) continue;
      apps_.push_back(command);
      return;
    }
  }
  // nullptr: there is none.
  const CLI::Option* Find(const std::string& name) const {
    for (auto app = apps_.rbegin(); app != apps_.rend(); ++app) {
      if (const CLI::Option* option = (*app)->get_option_no_throw(name)) return option;
    }
    return nullptr;
  }

 private:
  std::vector<const CLI::App*> apps_;
};

}  // namespace

std::vector<std::string> CommandLine(const CLI::App& app, int argc, char** argv) {
  KnownOptions options(app);
  std::vector<std::string> words;
  bool is_value = false;
  bool options_ended = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (!IsUtf8(word)) {
      Throw(ErrorCode::kInvalid, "argument {} is no UTF-8: '{}'", i, PrintableLine(word));
    }
    words.push_back(word);
    if (is_value || options_ended) {
      is_value = false;
      continue;
    }
    options_ended = word == "--";
    if (!word.starts_with('-')) {
      options.EnterCommand(word);
    } else if (word.starts_with("--") && word.ends_with('=') && word.find('=') == word.size() - 1) {
      const std::string name = word.substr(0, word.size() - 1);
      const CLI::Option* option = options.Find(name);
      if (option == nullptr) continue;  // the parser says that there is none
      if (option->get_items_expected_max() == 0) {
        Throw(ErrorCode::kInvalid, "{} takes no value", name);
      }
      words.back() = name;
      words.emplace_back();
    } else if (const CLI::Option* option = options.Find(word)) {
      is_value = option->get_items_expected_min() > 0;
    }
  }
  return words;
}

}  // namespace retort
