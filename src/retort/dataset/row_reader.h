#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>

#include "retort/base/json.h"
#include "retort/dataset/data_files.h"

namespace retort {

// A longer line (or CSV record) is a bad line. Bounds what one row can take in memory.
inline constexpr size_t kLineBytesMax = size_t{64} << 20;
// A JSON array is read whole. Larger data belongs in JSONL.
inline constexpr uint64_t kJsonFileBytesMax = uint64_t{1} << 30;

// What to do with a line that is no row: stop with Error{kInvalid}, or warn and go on.
enum class BadLine { kFail, kSkip };

struct ReadOptions {
  std::optional<DataFormat> format;  // unset: by extension
  BadLine on_bad_line = BadLine::kFail;
  // Told of each skipped line, "seeds.jsonl:7: ... (skipped)".
  std::function<void(std::string_view)> warn = [](std::string_view) {};
};

// Calls `emit` with each row of the file, a JSON object column → value in column order, until it
// returns false. JSONL: one object per line, blank lines ignored. JSON: an array of objects. CSV
// (RFC 4180): the first record names the columns; values are text. A UTF-8 byte order mark is
// ignored. Streams: memory is one line's (a JSON file's: the file's). Throws Error{kNotFound, kIo}
// naming the path; Error{kInvalid} "file:line: reason" for a bad line. Returns the number of lines
// skipped.
uint64_t ReadRows(const std::filesystem::path& path, const ReadOptions& options,
                  const std::function<bool(Json)>& emit);

}  // namespace retort
