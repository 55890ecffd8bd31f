#include "retort/dataset/row_reader.h"

#include <fmt/ranges.h>

#include <set>
#include <string>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/text_file.h"
#include "retort/dataset/csv_reader.h"
#include "retort/dataset/line_reader.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

// Applies the on_bad_line policy and counts.
class BadLines {
 public:
  BadLines(const fs::path& path, const ReadOptions& options) : path_(path), options_(options) {}

  void Report(uint64_t line, std::string_view problem) {
    const std::string message = fmt::format("{}:{}: {}", path_.string(), line, problem);
    if (options_.on_bad_line == BadLine::kFail) throw Error(ErrorCode::kInvalid, message);
    ++num_skipped_;
    options_.warn(message + " (skipped)");
  }
  uint64_t num_skipped() const { return num_skipped_; }

 private:
  const fs::path& path_;
  const ReadOptions& options_;
  uint64_t num_skipped_ = 0;
};

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

// The reason a line is not JSON, without the place the parser saw: a line is a document of its own.
std::string JsonProblem(std::string_view message) {
  constexpr std::string_view kFirstLine = ":1:";  // of the origin "" and line 1
  if (message.starts_with(kFirstLine)) {
    return fmt::format("column {}", message.substr(kFirstLine.size()));
  }
  if (message.starts_with(": ")) message.remove_prefix(2);
  return std::string(message);
}

void ReadJsonl(const fs::path& path, BadLines& bad, const std::function<bool(Json)>& emit) {
  ByteReader bytes(path);
  std::string line;
  for (uint64_t number = 1;; ++number) {
    const LineStatus status = ReadLine(bytes, line);
    if (status == LineStatus::kEnd) return;
    if (status == LineStatus::kTooLong) {
      bad.Report(number, fmt::format("a line longer than {} bytes", kLineBytesMax));
      continue;
    }
    if (IsBlank(line)) continue;
    const size_t bad_byte = FindBadUtf8(line);
    if (bad_byte != std::string_view::npos) {
      bad.Report(number, fmt::format("byte 0x{:02X} at column {} is not UTF-8",
                                     static_cast<unsigned char>(line[bad_byte]), bad_byte + 1));
      continue;
    }
    Json row;
    try {
      row = ParseJson(line, "");
    } catch (const Error& error) {
      bad.Report(number, JsonProblem(error.message()));
      continue;
    }
    if (!row.is_object()) {
      bad.Report(number, fmt::format("expected a JSON object (one row), found {}: {}",
                                     row.type_name(), line.substr(0, 40)));
      continue;
    }
    if (!emit(std::move(row))) return;
  }
}

void ReadJsonArray(const fs::path& path, BadLines& bad, const std::function<bool(Json)>& emit) {
  std::string text = ReadFile(path, kJsonFileBytesMax);
  std::string_view body = text;
  if (body.starts_with("\xEF\xBB\xBF")) body.remove_prefix(3);
  Json rows = ParseJson(body, path.string());
  text = std::string();
  if (!rows.is_array()) {
    Throw(ErrorCode::kInvalid, "{}: expected a JSON array of objects, found {}", path.string(),
          rows.type_name());
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].is_object()) {
      // Lines mean little inside an array; the item's number is what the person can look for.
      bad.Report(i + 1, fmt::format("item {} of the array: expected an object (one row), found {}",
                                    i + 1, rows[i].type_name()));
      continue;
    }
    if (!emit(std::move(rows[i]))) return;
  }
}

std::string HeaderProblem(const CsvRecord& header) {
  if (!header.problem.empty()) return header.problem;
  std::set<std::string> seen;
  for (size_t i = 0; i < header.fields.size(); ++i) {
    if (header.fields[i].empty()) return fmt::format("column {} has no name in the header", i + 1);
    if (!seen.insert(header.fields[i]).second) {
      return fmt::format("column '{}' is named twice in the header", header.fields[i]);
    }
  }
  return "";
}

void ReadCsv(const fs::path& path, BadLines& bad, const std::function<bool(Json)>& emit) {
  ByteReader bytes(path);
  CsvReader reader(bytes);
  CsvRecord header;
  if (!reader.Next(header)) return;
  const std::string problem = HeaderProblem(header);
  if (!problem.empty()) {
    Throw(ErrorCode::kInvalid, "{}:{}: {}", path.string(), header.line, problem);
  }
  CsvRecord record;
  while (reader.Next(record)) {
    if (!record.problem.empty()) {
      bad.Report(record.line, record.problem);
      continue;
    }
    if (record.fields.size() != header.fields.size()) {
      bad.Report(record.line,
                 fmt::format("{} fields, the header names {} columns ({})", record.fields.size(),
                             header.fields.size(), fmt::join(header.fields, ", ")));
      continue;
    }
    Json row = Json::object();
    for (size_t i = 0; i < header.fields.size(); ++i) {
      row[header.fields[i]] = std::move(record.fields[i]);
    }
    if (!emit(std::move(row))) return;
  }
}

}  // namespace

uint64_t ReadRows(const fs::path& path, const ReadOptions& options,
                  const std::function<bool(Json)>& emit) {
  BadLines bad(path, options);
  switch (options.format ? *options.format : DataFormatOf(path)) {
    case DataFormat::kJsonl:
      ReadJsonl(path, bad, emit);
      break;
    case DataFormat::kJson:
      ReadJsonArray(path, bad, emit);
      break;
    case DataFormat::kCsv:
      ReadCsv(path, bad, emit);
      break;
  }
  return bad.num_skipped();
}

}  // namespace retort
