#include "retort/base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <mutex>

#include "retort/base/printable.h"

namespace retort {
namespace {

struct LogState {
  std::mutex mutex;
  std::function<void(LogLevel, std::string_view)> sink;
  std::atomic<LogLevel> level_min = LogLevel::kInfo;
  std::shared_ptr<spdlog::logger> logger;
};

// The one mutable global of the library: where words for a person go.
LogState& State() {
  static LogState* state = [] {
    auto* created = new LogState;  // never destroyed: threads may log while the process exits
    created->logger = std::make_shared<spdlog::logger>(
        "retort", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    created->logger->set_pattern("%^%l%$: %v");
    created->logger->set_level(spdlog::level::debug);
    return created;
  }();
  return *state;
}

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void LogLine(LogLevel level, std::string_view line) {
  LogState& state = State();
  if (level < state.level_min.load(std::memory_order_relaxed)) return;
  const std::string shown = Printable(line);
  std::lock_guard lock(state.mutex);
  if (state.sink) {
    state.sink(level, shown);
  } else {
    state.logger->log(SpdlogLevel(level), "{}", shown);
  }
}

void SetLogLevel(LogLevel level) { State().level_min = level; }

void SetLogSink(std::function<void(LogLevel, std::string_view)> sink) {
  LogState& state = State();
  std::lock_guard lock(state.mutex);
  state.sink = std::move(sink);
}

}  // namespace retort
