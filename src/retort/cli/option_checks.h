#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "retort/base/error.h"
#include "retort/base/home.h"

namespace retort {

// Of an option that names a file, a folder or a thing: no value is not the same as an empty one.
inline CLI::Validator NotEmpty() {
  return {[](const std::string& value) {
            return value.empty() ? std::string("the value is empty") : std::string();
          },
          ""};
}

// Of an option that names a file or a folder: as NotEmpty, and ~/ is the user's own folder, which a
// shell leaves as it is after `--option=`.
inline CLI::Validator IsPath() {
  return {[](std::string& value) {
            if (value.empty()) return std::string("the value is empty");
            try {
              value = ExpandTilde(value).string();
            } catch (const Error& error) {
              return std::string(error.message());
            }
            return std::string();
          },
          ""};
}

}  // namespace retort
