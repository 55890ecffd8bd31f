#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace retort {

inline constexpr std::string_view kPreviousFolder = "previous";

// A file that a run makes in its output folder.
struct MadeFile {
  std::string name;               // "select.jsonl"
  std::filesystem::path partial;  // where it was written
  bool whole = false;             // it will take its name; else it stays where it was written
};

// Makes room in an output folder for what a run made there. If an earlier run left finished files
// that would be lost, because `made` does not repeat them byte by byte, or would be stale, because
// no step of this run has their name, all of the earlier run's files move to FOLDER/previous, with
// the `previous` that was there inside it. Touches only files that `made` or the folder's run.json
// name. Returns whether anything moved.
//
// May be killed at any point: the next call goes on. Throws Error{kIo}.
bool MoveEarlierOutput(const std::filesystem::path& folder, const std::vector<MadeFile>& made);

}  // namespace retort
