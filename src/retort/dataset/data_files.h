#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace retort {

enum class DataFormat { kJsonl, kJson, kCsv };

// "jsonl", "json", "csv".
std::string_view DataFormatName(DataFormat format);

// By extension: .jsonl/.ndjson, .json, .csv. Throws Error{kUnsupported} naming what is read, for
// any other.
DataFormat DataFormatOf(const std::filesystem::path& path);

// The files that `pattern` names: a file; a directory (its files of a known format, not those below
// it); or a glob with `*`, `?` and `[...]` in any part of the path. A relative pattern starts at
// `base_dir`. Sorted by path, so that a run does not depend on the file system. At most
// kDataFilesMax. Throws Error{kNotFound} if there is none.
std::vector<std::filesystem::path> FindDataFiles(std::string_view pattern,
                                                 const std::filesystem::path& base_dir);
inline constexpr size_t kDataFilesMax = 100'000;

}  // namespace retort
