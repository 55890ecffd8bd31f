#include "retort/cli/command_line.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "retort/base/error.h"
#include "retort/cli/command.h"
#include "retort/cli/command_list.h"

namespace retort {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Words(const CLI::App& app, std::vector<std::string> given) {
  given.insert(given.begin(), "retort");
  std::vector<char*> argv;
  for (std::string& word : given) argv.push_back(word.data());
  return CommandLine(app, static_cast<int>(argv.size()), argv.data());
}

// All commands, with what their options are parsed into.
class Retort {
 public:
  Retort() {
    app_.fallthrough();
    app_.add_flag("-v,--verbose");
    for (const Command& command : CommandList()) {
      runs_.push_back(command.add(*app_.add_subcommand(std::string(command.name), "")));
    }
  }
  CLI::App& operator*() { return app_; }
  CLI::App* operator->() { return &app_; }

 private:
  CLI::App app_;
  std::vector<std::function<int()>> runs_;
};

TEST(CommandLine, AnEmptyValueIsEmpty) {
  Retort app;
  EXPECT_THAT(Words(*app, {"generate", "M", "--system=", "--json", "-p", "hi"}),
              ElementsAre("generate", "M", "--system", "", "--json", "-p", "hi"));
  EXPECT_THAT(Words(*app, {"generate", "M", "--system=a=", "-p", ""}),
              ElementsAre("generate", "M", "--system=a=", "-p", ""));
  EXPECT_THAT(Words(*app, {"cache", "gc", "--max-age=", "--cache=", "x"}),
              ElementsAre("cache", "gc", "--max-age", "", "--cache", "", "x"));
  // A value that looks like an option is a value.
  EXPECT_THAT(Words(*app, {"generate", "M", "-p", "--system=", "--stop", "--raw="}),
              ElementsAre("generate", "M", "-p", "--system=", "--stop", "--raw="));
  EXPECT_THAT(Words(*app, {"embed", "M", "--", "--pooling="}),
              ElementsAre("embed", "M", "--", "--pooling="));
  EXPECT_THAT(Words(*app, {"run", "--no-such="}), ElementsAre("run", "--no-such="));
  EXPECT_THROW(Words(*app, {"generate", "M", "--json="}), Error);
  EXPECT_THROW(Words(*app, {"--verbose="}), Error);
}

TEST(CommandLine, ArgumentsAreUtf8) {
  Retort app;
  try {
    Words(*app, {"generate", "M", "-p", "gr\xFC\xDF"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    EXPECT_EQ(error.message(), "argument 4 is no UTF-8: 'gr\\xfc\\xdf'");
  }
}

// Each option of each command, given empty: the parser takes it as that option's value, and the
// next argument stays what it is.
TEST(CommandLine, NoOptionTakesTheNextArgument) {
  Retort reference;
  for (const CLI::App* command : reference->get_subcommands({})) {
    for (const CLI::Option* option : command->get_options()) {
      if (option->get_lnames().empty() || option->get_items_expected_max() == 0) continue;
      const std::string name = "--" + option->get_lnames()[0];
      Retort app;
      std::vector<std::string> words = Words(*app, {command->get_name(), name + "=", "--verbose"});
      std::reverse(words.begin(), words.end());
      try {
        app->parse(words);
      } catch (const CLI::ParseError&) {
        // Refused, or something else is missing.
      }
      const auto results = app->get_subcommand(command->get_name())->get_option(name)->results();
      for (const std::string& result : results) EXPECT_EQ(result, "") << name;
    }
  }
}

// Each option and each argument of each command, given a text in brackets: it is one value. The
// parser would split the value of an option that may be repeated.
TEST(CommandLine, BracketsSplitNothing) {
  Retort reference;
  for (const CLI::App* command : reference->get_subcommands({})) {
    for (const CLI::Option* option : command->get_options()) {
      const bool positional = option->get_positional();
      if (option->get_items_expected_max() == 0 || option->get_delimiter() != '\0') continue;
      SCOPED_TRACE(command->get_name() + " " + option->get_name());
      std::vector<std::string> words = {command->get_name()};
      // The first argument is one thing; those that may be many come after it.
      if (positional && option->get_items_expected_max() > 1) words.push_back("M");
      if (!positional) words.push_back("--" + option->get_lnames()[0]);
      words.push_back("[a, b]");
      std::reverse(words.begin(), words.end());
      Retort app;
      try {
        app->parse(words);
      } catch (const CLI::ParseError&) {
        // Refused, or something else is missing.
      }
      const std::string name = positional ? option->get_name(true) : "--" + option->get_lnames()[0];
      EXPECT_THAT(app->get_subcommand(command->get_name())->get_option(name)->results(),
                  ElementsAre("[a, b]"));
    }
  }
}

// A shell leaves ~ after `=` as it is.
TEST(CommandLine, PathsMayBeginAtTheUsersFolder) {
  ASSERT_NE(std::getenv("HOME"), nullptr);
  const std::string home = std::getenv("HOME");
  for (const char* name : {"--input", "--output", "--cache", "--engine-log"}) {
    Retort app;
    app->parse(fmt::format("run ~/p.yaml {}=~/x", name));
    EXPECT_THAT(app->get_subcommand("run")->get_option(name)->results(), ElementsAre(home + "/x"));
    Retort of_another;
    EXPECT_THROW(of_another->parse(fmt::format("run p.yaml {}=~me/x", name)), CLI::ValidationError);
  }
}

}  // namespace
}  // namespace retort
