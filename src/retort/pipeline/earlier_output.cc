#include "retort/pipeline/earlier_output.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <set>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/json.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kReport = "run.json";
constexpr std::string_view kFailed = "failed.jsonl";
// Filled file by file, then renamed to kPreviousFolder.
constexpr std::string_view kUnfinished = ".previous.partial";
constexpr uint64_t kReportBytesMax = uint64_t{64} << 20;  // of 1,000 steps: some MB

bool IsFile(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(fs::symlink_status(path, ignored));
}

bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

void Rename(const fs::path& from, const fs::path& to) {
  std::error_code failure;
  fs::rename(from, to, failure);
  if (failure) {
    Throw(ErrorCode::kIo, "cannot move '{}' to '{}': {}", from.string(), to.string(),
          failure.message());
  }
}

bool SameBytes(const fs::path& a, const fs::path& b) {
  std::error_code failure;
  if (fs::file_size(a, failure) != fs::file_size(b, failure) || failure) return false;
  std::ifstream left(a, std::ios::binary);
  std::ifstream right(b, std::ios::binary);
  std::array<char, 1 << 16> left_bytes;
  std::array<char, 1 << 16> right_bytes;
  while (left && right) {
    left.read(left_bytes.data(), left_bytes.size());
    right.read(right_bytes.data(), right_bytes.size());
    if (left.gcount() != right.gcount() ||
        !std::equal(left_bytes.begin(), left_bytes.begin() + left.gcount(), right_bytes.begin())) {
      return false;
    }
  }
  return left.eof() && right.eof();
}

// The output files that the folder's run.json names, as far as they lie in the folder. A report
// that cannot be read names none.
std::set<std::string> ReportedOutputs(const fs::path& folder) {
  std::set<std::string> names;
  try {
    const fs::path path = folder / kReport;
    const Json report = ParseJson(ReadFile(path, kReportBytesMax), path.string());
    if (!report.is_object()) return names;
    for (const Json& output : report.value("outputs", Json::array())) {
      if (!output.is_string()) continue;
      const fs::path name = fs::path(output.get<std::string>()).filename();
      if (name.extension() == ".jsonl" && IsFile(folder / name)) names.insert(name.string());
    }
  } catch (const Error&) {
    return {};
  }
  return names;
}

bool IsRepeated(const fs::path& folder, const std::string& name,
                const std::vector<MadeFile>& made) {
  return std::any_of(made.begin(), made.end(), [&](const MadeFile& file) {
    return file.name == name && file.whole && SameBytes(folder / name, file.partial);
  });
}

}  // namespace

bool MoveEarlierOutput(const fs::path& folder, const std::vector<MadeFile>& made) {
  std::set<std::string> earlier = ReportedOutputs(folder);
  for (const MadeFile& file : made) {
    earlier.erase(file.partial.filename().string());  // of a run that this one goes on with
    if (file.name != kFailed && IsFile(folder / file.name)) earlier.insert(file.name);
  }
  if (!earlier.empty() && IsFile(folder / kFailed)) earlier.insert(std::string(kFailed));
  const bool repeated = std::all_of(earlier.begin(), earlier.end(), [&](const std::string& name) {
    return IsRepeated(folder, name, made);
  });
  const fs::path unfinished = folder / kUnfinished;
  if (repeated && !Exists(unfinished)) return false;
  std::error_code failure;
  fs::create_directory(unfinished, failure);
  if (failure) {
    Throw(ErrorCode::kIo, "cannot make '{}': {}", unfinished.string(), failure.message());
  }
  if (!repeated) {
    for (const std::string& name : earlier) Rename(folder / name, unfinished / name);
  }
  // After the files that it names. It is the earlier run's: no run writes its own before this.
  if (IsFile(folder / kReport)) Rename(folder / kReport, unfinished / kReport);
  const fs::path previous = folder / kPreviousFolder;
  if (Exists(previous)) Rename(previous, unfinished / kPreviousFolder);
  Rename(unfinished, previous);
  return true;
}

}  // namespace retort
