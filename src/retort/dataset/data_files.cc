#include "retort/dataset/data_files.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <optional>

#include "retort/base/error.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

struct Extension {
  std::string_view text;
  DataFormat format;
};

constexpr std::array<Extension, 4> kExtensions = {{
    {".jsonl", DataFormat::kJsonl},
    {".ndjson", DataFormat::kJsonl},
    {".json", DataFormat::kJson},
    {".csv", DataFormat::kCsv},
}};

std::optional<DataFormat> KnownFormat(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const Extension& known : kExtensions) {
    if (extension == known.text) return known.format;
  }
  return std::nullopt;
}

bool IsGlob(std::string_view text) { return text.find_first_of("*?[") != std::string_view::npos; }

std::vector<fs::path> SortedEntries(const fs::path& directory) {
  std::vector<fs::path> entries;
  std::error_code failure;
  fs::directory_iterator entry(directory, failure);
  for (; !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    if (entries.size() >= kDataFilesMax) {
      Throw(ErrorCode::kExhausted, "'{}' holds more than {} files", directory.string(),
            kDataFilesMax);
    }
    entries.push_back(entry->path());
  }
  if (failure) {
    Throw(failure == std::errc::no_such_file_or_directory ? ErrorCode::kNotFound : ErrorCode::kIo,
          "cannot list '{}': {}", directory.string(), failure.message());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

// The paths that match a glob, part by part.
std::vector<fs::path> ExpandGlob(const fs::path& pattern) {
  std::vector<fs::path> found = {pattern.is_absolute() ? fs::path("/") : fs::path(".")};
  for (const fs::path& part : pattern.relative_path()) {
    std::vector<fs::path> next;
    for (const fs::path& directory : found) {
      if (!IsGlob(part.string())) {
        if (fs::exists(directory / part)) next.push_back(directory / part);
        continue;
      }
      if (!fs::is_directory(directory)) continue;
      for (const fs::path& entry : SortedEntries(directory)) {
        // As in a shell, a wildcard does not match a leading dot.
        if (::fnmatch(part.c_str(), entry.filename().c_str(), FNM_PERIOD) == 0) {
          next.push_back(entry);
        }
      }
    }
    if (next.size() > kDataFilesMax) {
      Throw(ErrorCode::kExhausted, "'{}' matches more than {} files", pattern.string(),
            kDataFilesMax);
    }
    found = std::move(next);
  }
  std::erase_if(found, [](const fs::path& path) { return !fs::is_regular_file(path); });
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

std::string_view DataFormatName(DataFormat format) {
  switch (format) {
    case DataFormat::kJsonl:
      return "jsonl";
    case DataFormat::kJson:
      return "json";
    case DataFormat::kCsv:
      return "csv";
  }
  Throw(ErrorCode::kInternal, "no such data format: {}", static_cast<int>(format));
}

DataFormat DataFormatOf(const fs::path& path) {
  if (const auto format = KnownFormat(path)) return *format;
  Throw(ErrorCode::kUnsupported,
        "'{}': cannot tell the data format by the extension '{}'; this build reads .jsonl, "
        ".ndjson, .json and .csv",
        path.string(), path.extension().string());
}

std::vector<fs::path> FindDataFiles(std::string_view pattern, const fs::path& base_dir) {
  if (pattern.empty()) Throw(ErrorCode::kInvalid, "the name of a data file is empty");
  fs::path path =
      base_dir.empty() || fs::path(pattern).is_absolute() ? fs::path(pattern) : base_dir / pattern;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    std::vector<fs::path> files = SortedEntries(path);
    std::erase_if(files, [](const fs::path& file) {
      return !fs::is_regular_file(file) || !KnownFormat(file);
    });
    if (files.empty()) {
      Throw(ErrorCode::kNotFound, "'{}' holds no .jsonl, .ndjson, .json or .csv file",
            path.string());
    }
    return files;
  }
  // A name that exists is that file, whatever characters it has.
  if (fs::exists(path, ignored)) return {path};
  if (!IsGlob(pattern)) Throw(ErrorCode::kNotFound, "no such data file: '{}'", path.string());
  std::vector<fs::path> files = ExpandGlob(path);
  if (files.empty()) Throw(ErrorCode::kNotFound, "no file matches '{}'", path.string());
  return files;
}

}  // namespace retort
