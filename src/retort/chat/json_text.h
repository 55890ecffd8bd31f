#pragma once

#include "retort/base/json.h"
#include "retort/chat/runtime.h"

namespace retort::jinja {

// A value from outside. Every string and scalar in it is content, unless the caller vouches for it.
Value FromJson(Runtime& runtime, const Json& json, bool is_template = false);

struct JsonStyle {
  std::optional<std::string> indent;  // one level of it; without, everything is on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
  bool ensure_ascii = false;
};

// Python's json.dumps. Throws where it does: undefined, generators, keys that are not scalars.
Text ToJsonText(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace retort::jinja
