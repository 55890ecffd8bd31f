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

// The files that `pattern` names: a file; a folder (its files of a known format, not those below
// it); or a glob with `*`, `?` and `[...]` in any part of the path, and `**` as a part for any
// number of folders (none, too). Folders and wildcards pass over names that begin with a dot, and
// `**` does not enter symbolic links, so that it ends. "~/" is the home folder; a relative pattern
// starts at `base_dir`. Sorted by path, so that a run does not depend on the file system. At most
// kDataFilesMax. Throws Error{kNotFound} if there is none, {kIo} naming a folder that cannot be
// read, {kUnsupported} for "hf://" and other addresses.
std::vector<std::filesystem::path> FindDataFiles(std::string_view pattern,
                                                 const std::filesystem::path& base_dir);
// Files, and entries of one folder.
inline constexpr size_t kDataFilesMax = 100'000;

}  // namespace retort
