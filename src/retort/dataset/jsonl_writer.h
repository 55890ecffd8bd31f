#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "retort/base/json.h"

namespace retort {

// Writes rows as JSON lines. They can be read at once, in `partial_path()` ("NAME.partial.jsonl");
// Finish() makes that the file asked for ("NAME.jsonl") in one step, so whoever finds it finds all
// of it, and an earlier file of that name stays whole until then. Each Append is one write of whole
// lines; where the disk is full the file is cut back to its last whole line. Not thread-safe.
// Throws Error{kIo} naming the path.
class JsonlWriter {
 public:
  // Starts an empty partial file; one left by an interrupted run is replaced.
  explicit JsonlWriter(std::filesystem::path path);
  ~JsonlWriter();
  JsonlWriter(const JsonlWriter&) = delete;
  JsonlWriter& operator=(const JsonlWriter&) = delete;

  void Append(const Json& row) { AppendLines(DumpJson(row) + "\n"); }
  // `lines` ends with a newline, or is empty.
  void AppendLines(std::string_view lines);
  // Syncs, renames, and syncs the folder. No Append afterwards.
  void Finish();

  const std::filesystem::path& path() const { return path_; }
  const std::filesystem::path& partial_path() const { return partial_path_; }
  uint64_t num_bytes() const { return num_bytes_; }

 private:
  std::filesystem::path path_;
  std::filesystem::path partial_path_;
  int descriptor_ = -1;
  uint64_t num_bytes_ = 0;  // of whole lines
};

// "out/kept.jsonl" → "out/kept.partial.jsonl".
std::filesystem::path PartialPath(const std::filesystem::path& path);

}  // namespace retort
