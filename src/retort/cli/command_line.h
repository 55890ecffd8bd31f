#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace retort {

// The arguments behind the program's name, for CLI::App::parse: "--name=" becomes "--name" and an
// empty value, for which the parser would take the next argument. Throws Error{kInvalid} for an
// argument that is no UTF-8, and for "--name=" of an option that takes no value.
std::vector<std::string> CommandLine(const CLI::App& app, int argc, char** argv);

}  // namespace retort
