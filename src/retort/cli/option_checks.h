#pragma once

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <string>

#include "retort/base/error.h"
#include "retort/base/home.h"

namespace retort {

// Refuses an empty value: `--option=` is not the same as no option.
inline CLI::Validator NotEmpty() {
  return {[](const std::string& value) {
            return value.empty() ? std::string("the value is empty") : std::string();
          },
          ""};
}

// Takes a plain decimal integer; the option's type is the upper bound.
inline CLI::Validator AtLeast(uint64_t min) {
  return {[min](const std::string& value) {
            uint64_t number = 0;
            const char* const end = value.data() + value.size();
            const auto [last, error] = std::from_chars(value.data(), end, number);
            // The parser would read 010 as octal, and take the largest for what is beyond it.
            const bool is_plain = value == "0" || !value.starts_with('0');
            if (error == std::errc() && last == end && is_plain && number >= min) {
              return std::string();
            }
            return fmt::format("expected an integer of at least {}, found '{}'", min, value);
          },
          ""};
}

// Takes a path as NotEmpty does, and expands ~/ to the user's own folder: a shell leaves it as it
// is after `--option=`.
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
