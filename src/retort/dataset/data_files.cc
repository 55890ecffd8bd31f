#include "retort/dataset/data_files.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "retort/base/error.h"
#include "retort/base/home.h"
#include "retort/base/json.h"

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

// "hf://datasets/x", "https://...": an address, no path.
bool IsAddress(std::string_view text) {
  const size_t end = text.find("://");
  return end != std::string_view::npos && end > 0 &&
         std::all_of(text.begin(), text.begin() + static_cast<ptrdiff_t>(end),
                     [](unsigned char c) { return std::isalnum(c) || c == '+' || c == '-'; });
}

// What is at a path, symbolic links followed; one that leads nowhere is not_found.
fs::file_type TypeOf(const fs::path& path) {
  std::error_code failure;
  const fs::file_type type = fs::status(path, failure).type();
  if (type != fs::file_type::none) return type;
  if (failure == std::errc::too_many_symbolic_link_levels) return fs::file_type::not_found;
  Throw(ErrorCode::kIo, "cannot look at '{}': {}", path.string(), failure.message());
}

bool IsHidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

// A link whose file is gone would else be left out without a word.
bool IsDataFile(const fs::path& path) {
  const fs::file_type type = TypeOf(path);
  if (type == fs::file_type::not_found) {
    Throw(ErrorCode::kNotFound, "'{}' is a symbolic link to nothing", path.string());
  }
  return type == fs::file_type::regular;
}

std::vector<fs::path> SortedEntries(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code failure;
  fs::directory_iterator entry(folder, failure);
  for (; !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    if (entries.size() >= kDataFilesMax) {
      Throw(ErrorCode::kExhausted, "'{}' holds more than {} files", folder.string(), kDataFilesMax);
    }
    entries.push_back(entry->path());
  }
  if (failure) {
    Throw(failure == std::errc::no_such_file_or_directory ? ErrorCode::kNotFound : ErrorCode::kIo,
          "cannot list '{}': {}", folder.string(), failure.message());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

// The paths that match a glob, part by part.
class Glob {
 public:
  explicit Glob(const fs::path& pattern) : pattern_(pattern) {
    for (const fs::path& part : pattern.relative_path()) {
      if (part != "**" || parts_.empty() || parts_.back() != "**") parts_.push_back(part.string());
    }
    if (!parts_.empty() && parts_.back() == "**") parts_.emplace_back("*");  // files at any depth
  }

  std::set<fs::path> Expand(const fs::path& start) {
    Match(start, 0);
    return std::move(found_);
  }

 private:
  // Adds what the parts from `index` on match at `path`.
  void Match(const fs::path& path, size_t index) {
    // Two `**` can lead to one place in many ways.
    if (!seen_.emplace(path, index).second) return;
    if (index == parts_.size()) {
      if (IsDataFile(path)) found_.insert(path);
      if (found_.size() > kDataFilesMax) {
        Throw(ErrorCode::kExhausted, "'{}' matches more than {} files", pattern_.string(),
              kDataFilesMax);
      }
      return;
    }
    if (TypeOf(path) != fs::file_type::directory) return;
    const std::string& part = parts_[index];
    if (part == "**") {
      Match(path, index + 1);
      for (const fs::path& entry : SortedEntries(path)) {
        std::error_code gone;  // between the listing and now
        const bool folder = fs::symlink_status(entry, gone).type() == fs::file_type::directory;
        if (folder && !IsHidden(entry)) Match(entry, index);
      }
    } else if (!IsGlob(part)) {
      if (TypeOf(path / part) != fs::file_type::not_found) Match(path / part, index + 1);
    } else {
      for (const fs::path& entry : SortedEntries(path)) {
        // As in a shell, a wildcard does not match a leading dot.
        if (::fnmatch(part.c_str(), entry.filename().c_str(), FNM_PERIOD) == 0) {
          Match(entry, index + 1);
        }
      }
    }
  }

  fs::path pattern_;
  std::vector<std::string> parts_;
  std::set<std::pair<fs::path, size_t>> seen_;
  std::set<fs::path> found_;
};

// The name in the same folder that is most like it, or "".
std::string NearestFile(const fs::path& path) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (TypeOf(folder) != fs::file_type::directory) return "";
  std::vector<std::string> names;
  std::error_code ignored;  // a hint must not hide the error that it belongs to
  for (fs::directory_iterator entry(folder, ignored);
       !ignored && entry != fs::directory_iterator() && names.size() < kDataFilesMax;
       entry.increment(ignored)) {
    names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return NearestName(path.filename().string(), names);
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
  if (IsAddress(pattern)) {
    Throw(ErrorCode::kUnsupported,
          "'{}' is an address: data files are read from disk only; download them and name their "
          "paths",
          pattern);
  }
  const fs::path given = ExpandTilde(pattern);
  const fs::path path = given.is_absolute() ? given : base_dir / given;
  const fs::file_type type = TypeOf(path);
  if (type == fs::file_type::directory) {
    std::vector<fs::path> files = SortedEntries(path);
    std::erase_if(files, [](const fs::path& file) {
      return IsHidden(file) || !KnownFormat(file) || !IsDataFile(file);
    });
    if (files.empty()) {
      Throw(ErrorCode::kNotFound,
            "'{}' itself holds no .jsonl, .ndjson, .json or .csv file (those in folders below it: "
            "'{}')",
            path.string(), (path / "**/*.jsonl").string());
    }
    return files;
  }
  // A name that exists is that file, whatever characters it has.
  if (type != fs::file_type::not_found) return {path};
  if (!IsGlob(pattern)) {
    const std::string nearest = NearestFile(path);
    Throw(ErrorCode::kNotFound, "no such data file: '{}'{}", path.string(),
          nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest));
  }
  fs::path start = base_dir.empty() ? fs::path(".") : base_dir;
  if (given.is_absolute()) start = given.root_path();
  const std::set<fs::path> files = Glob(given).Expand(start);
  if (files.empty()) Throw(ErrorCode::kNotFound, "no file matches '{}'", path.string());
  return {files.begin(), files.end()};
}

}  // namespace retort
