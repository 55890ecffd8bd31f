#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace retort {

// Of an option that names a file, a folder or a thing: no value is not the same as an empty one.
inline CLI::Validator NotEmpty() {
  return {[](const std::string& value) {
            return value.empty() ? std::string("the value is empty") : std::string();
          },
          ""};
}

}  // namespace retort
