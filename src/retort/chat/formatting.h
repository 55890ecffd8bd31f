#pragma once

#include <chrono>

#include "retort/chat/runtime.h"

// Python's three ways to format: "..." % values, "...".format(values), strftime.
namespace retort::jinja {

Value FormatPercent(Runtime& runtime, const Text& format, const Value& values);
Value FormatBraces(Runtime& runtime, const Text& format, const CallArgs& args);

// `time` in the C locale; %Z and %z are empty, as for a naive datetime.
std::string FormatTime(std::chrono::local_seconds time, std::string_view format);

}  // namespace retort::jinja
