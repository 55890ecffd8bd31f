#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "retort/base/file.h"
#include "retort/llm/request.h"

namespace retort {

// What an engine did, one JSON object a line, append-only:
//   {"event":"start","id":...,"tag":...,"prompt_tokens":n}       before anything of it is computed
//   {"event":"done","id":...,"tokens":n,"finish":"stop"|"length"|"scored"|"embedded"}
//   {"event":"failed","id":...,"code":...,"message":...}
// Lines are gathered and handed to the system by Flush in one write, so a killed process loses
// only what was not flushed. Not thread-safe.
class EngineLog {
 public:
  // An empty path: nothing is written. Throws Error{kIo}.
  explicit EngineLog(const std::filesystem::path& path);

  void Start(std::string_view id, std::string_view tag, int64_t prompt_tokens);
  void Done(std::string_view id, std::string_view tag, const Response& response);

  // Throws Error{kIo}; the lines are dropped then.
  void Flush();

 private:
  std::unique_ptr<AppendFile> file_;
  std::string lines_;
};

}  // namespace retort
