#include "retort/engine/engine_log.h"

#include <utility>

#include "retort/base/json.h"

namespace retort {
namespace {

std::string_view Finish(const Response& response) {
  if (const auto* completion = std::get_if<Completion>(&response.result)) {
    return completion->finish_reason == FinishReason::kStop ? "stop" : "length";
  }
  return std::holds_alternative<Scores>(response.result) ? "scored" : "embedded";
}

}  // namespace

EngineLog::EngineLog(const std::filesystem::path& path) {
  if (!path.empty()) file_ = std::make_unique<AppendFile>(path);
}

void EngineLog::Start(std::string_view id, std::string_view tag, int64_t prompt_tokens) {
  if (file_ == nullptr) return;
  const Json line = {
      {"event", "start"}, {"id", id}, {"tag", tag}, {"prompt_tokens", prompt_tokens}};
  lines_ += DumpJson(line) + '\n';
}

void EngineLog::Done(std::string_view id, std::string_view tag, const Response& response) {
  if (file_ == nullptr) return;
  Json line = {{"event", response.ok() ? "done" : "failed"}, {"id", id}, {"tag", tag}};
  if (response.ok()) {
    line["tokens"] = response.usage.completion_tokens;
    line["finish"] = Finish(response);
  } else {
    const Error& error = std::get<Error>(response.result);
    line["code"] = ErrorCodeName(error.code());
    line["message"] = error.message();
  }
  lines_ += DumpJson(line) + '\n';
}

void EngineLog::Flush() {
  if (lines_.empty()) return;
  const std::string lines = std::exchange(lines_, {});
  file_->Append(lines);
}

}  // namespace retort
