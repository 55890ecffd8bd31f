#pragma once

#include <fmt/format.h>

#include <functional>
#include <string_view>
#include <utility>

namespace retort {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Writes one line to the process's log sink: standard error unless SetLogSink chose another.
// Control characters in it are written out. Thread-safe.
void LogLine(LogLevel level, std::string_view line);

// Lines below `level` are dropped. The default is kInfo.
void SetLogLevel(LogLevel level);

// Replaces where lines go (a progress display that must not be overwritten, a test that listens).
// An empty function restores standard error. Set it before other threads log.
void SetLogSink(std::function<void(LogLevel, std::string_view)> sink);

template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  LogLine(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  LogLine(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace retort
