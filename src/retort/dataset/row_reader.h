#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "retort/base/json.h"
#include "retort/dataset/column_types.h"
#include "retort/dataset/data_files.h"

namespace retort {

// A longer line (or CSV record) is a bad line. Bounds what one row can take in memory.
inline constexpr size_t kLineBytesMax = size_t{64} << 20;
// A row of more columns is a bad line: each costs some 50 bytes, in a row or a CSV header, even if
// it is empty.
inline constexpr size_t kRowColumnsMax = size_t{1} << 20;
// A JSON array is read whole. Larger data belongs in JSONL.
inline constexpr uint64_t kJsonFileBytesMax = uint64_t{1} << 30;

// What to do with a line that is no row: stop with Error{kInvalid}, or warn and go on.
enum class BadLine { kFail, kSkip };

struct ReadOptions {
  std::optional<DataFormat> format;  // unset: by extension
  BadLine on_bad_line = BadLine::kFail;
  // Columns to convert; a row in which one of them cannot be is a bad line. A CSV header without
  // one is Error{kInvalid}.
  std::map<std::string, ColumnType> types = {};
  // Told of each skipped line, "seeds.jsonl:7: ... (skipped)", and of a column left out.
  std::function<void(std::string_view)> warn = [](std::string_view) {};
};

// Calls `emit` with each row of the file, a JSON object column → value in column order, until it
// returns false. JSONL: one object per line, blank lines ignored. JSON: an array of objects, or
// objects one per line. CSV (RFC 4180): the first record names the columns; values are text; a
// first column without a name (pandas writes its index so) is left out, with a warning. Numbers are
// as ParseDataJson reads them. A UTF-8 byte order mark is ignored. Streams: memory is one line's (a
// JSON array's: the file's). Throws Error{kNotFound, kIo} naming the path; Error{kInvalid}
// "file:line: reason" for a bad line. Returns the number of lines skipped.
uint64_t ReadRows(const std::filesystem::path& path, const ReadOptions& options,
                  const std::function<bool(Json)>& emit);

}  // namespace retort
