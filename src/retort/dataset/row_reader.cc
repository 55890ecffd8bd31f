#include "retort/dataset/row_reader.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "retort/base/data_json.h"
#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/json_object.h"
#include "retort/base/text_file.h"
#include "retort/dataset/csv_reader.h"
#include "retort/dataset/line_reader.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

// Gives rows on, or applies the on_bad_line policy and counts.
class RowSink {
 public:
  RowSink(const fs::path& path, const ReadOptions& options, const std::function<bool(Json)>& emit)
      : path_(path), options_(options), emit_(emit) {}

  // False: no more rows are wanted.
  bool Take(uint64_t line, Json row) {
    auto& columns = row.get_ref<Json::object_t&>();
    if (columns.size() > kRowColumnsMax) {
      Report(line, fmt::format("a row of more than {} columns", kRowColumnsMax));
      return true;
    }
    if (!options_.types.empty()) {
      for (auto& [column, value] : columns) {
        const auto type = options_.types.find(column);
        if (type == options_.types.end()) continue;
        try {
          value = ConvertColumn(type->second, std::move(value));
        } catch (const Error& error) {
          Report(line, fmt::format("column '{}': {}", column, error.message()));
          return true;
        }
      }
    }
    return emit_(std::move(row));
  }

  void Report(uint64_t line, std::string_view problem) {
    const std::string message = fmt::format("{}:{}: {}", path_.string(), line, problem);
    if (options_.on_bad_line == BadLine::kFail) throw Error(ErrorCode::kInvalid, message);
    ++num_skipped_;
    options_.warn(message + " (skipped)");
  }

  const fs::path& path() const { return path_; }
  const ReadOptions& options() const { return options_; }
  uint64_t num_skipped() const { return num_skipped_; }

 private:
  const fs::path& path_;
  const ReadOptions& options_;
  const std::function<bool(Json)>& emit_;
  uint64_t num_skipped_ = 0;
};

constexpr std::string_view kBlanks = " \t\r";

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(kBlanks) == std::string_view::npos;
}

// The reason a text is not JSON, without the place the parser saw: a line is a document of its own.
std::string JsonProblem(std::string_view message) {
  constexpr std::string_view kFirstLine = ":1:";  // of the origin "" and line 1
  if (message.starts_with(kFirstLine)) {
    return fmt::format("column {}", message.substr(kFirstLine.size()));
  }
  if (message.starts_with(": ")) message.remove_prefix(2);
  return std::string(message);
}

// Added to a problem of a file's first line: what the file may be instead.
std::string_view OtherForm(DataFormat format, std::string_view line) {
  if (format == DataFormat::kJson) {
    return "; a JSON file is one array of objects, or has one object on each line";
  }
  return line[line.find_first_not_of(kBlanks)] == '['
             ? "; if the file is one JSON array, set 'filetype: json'"
             : "";
}

void ReadJsonl(RowSink& sink, DataFormat format) {
  ByteReader bytes(sink.path());
  std::string line;
  bool any = false;
  for (uint64_t number = 1;; ++number) {
    const LineStatus status = ReadLine(bytes, line);
    if (status == LineStatus::kEnd) return;
    if (status == LineStatus::kTooLong) {
      sink.Report(number, fmt::format("a line longer than {} bytes", kLineBytesMax));
      continue;
    }
    if (IsBlank(line)) continue;
    const size_t bad_byte = FindBadUtf8(line);
    if (bad_byte != std::string_view::npos) {
      sink.Report(number, fmt::format("byte 0x{:02X} at column {} is not UTF-8",
                                      static_cast<unsigned char>(line[bad_byte]), bad_byte + 1));
      continue;
    }
    const std::string_view hint = any ? "" : OtherForm(format, line);
    any = true;
    Json row;
    try {
      row = ParseDataJson(line, "");
    } catch (const Error& error) {
      sink.Report(number, JsonProblem(error.message()) + std::string(hint));
      continue;
    }
    if (!row.is_object()) {
      sink.Report(number, fmt::format("expected a JSON object (one row), found {}: {}{}",
                                      row.type_name(), line.substr(0, 40), hint));
      continue;
    }
    if (!sink.Take(number, std::move(row))) return;
  }
}

// The items of a JSON array, as they are written, each with its line. `text` is valid JSON.
struct ArrayItem {
  std::string_view text;
  uint64_t line = 0;
};

std::vector<ArrayItem> SplitArray(std::string_view text) {
  std::vector<ArrayItem> items;
  uint64_t line = 1;
  size_t depth = 0;
  bool in_string = false;
  size_t begin = std::string_view::npos;  // of the item under way
  uint64_t begin_line = 0;
  const auto end_item = [&](size_t end) {
    if (begin != std::string_view::npos) {
      items.push_back({text.substr(begin, end - begin), begin_line});
    }
    begin = std::string_view::npos;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') ++line;
    if (c == '\n' || kBlanks.find(c) != std::string_view::npos) continue;
    if (!in_string && depth == 1 && (c == ',' || c == ']')) end_item(i);
    if (depth >= 1 && begin == std::string_view::npos && c != ',' && c != ']') {
      begin = i;
      begin_line = line;
    }
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      ++depth;
    } else if (!in_string && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return items;
}

// One by one, so that a bad item is named and does not take the others along.
void ReadArrayItems(std::string_view text, RowSink& sink) {
  size_t number = 0;
  for (const ArrayItem& item : SplitArray(text)) {
    ++number;
    Json row;
    try {
      row = ParseDataJson(item.text, "");
    } catch (const Error& error) {
      sink.Report(item.line,
                  fmt::format("item {} of the array: {}", number, JsonProblem(error.message())));
      continue;
    }
    if (!row.is_object()) {
      sink.Report(item.line, fmt::format("item {} of the array: expected an object (one row), "
                                         "found {}",
                                         number, row.type_name()));
      continue;
    }
    if (!sink.Take(item.line, std::move(row))) return;
  }
}

// What a JSON file begins with, blanks apart; zero for an empty one.
char FirstByte(const fs::path& path) {
  ByteReader bytes(path);
  for (std::string_view chunk = bytes.Peek(); !chunk.empty(); chunk = bytes.Peek()) {
    const size_t first = chunk.find_first_not_of(" \t\r\n");
    if (first != std::string_view::npos) return chunk[first];
    bytes.Skip(chunk.size());
  }
  return 0;
}

void ReadJsonArray(RowSink& sink) {
  const std::string text = ReadFile(sink.path(), kJsonFileBytesMax);
  std::string_view body = text;
  if (body.starts_with("\xEF\xBB\xBF")) body.remove_prefix(3);
  if (body.find('\0') != std::string_view::npos || !Json::accept(body) ||
      FirstByte(sink.path()) != '[') {
    const Json other = ParseJson(body, sink.path().string());  // says where it is no JSON
    Throw(ErrorCode::kInvalid, "{}: expected a JSON array of objects, found {}",
          sink.path().string(), other.type_name());
  }
  ReadArrayItems(body, sink);
}

void ReadJson(RowSink& sink) {
  if (FirstByte(sink.path()) == '{') {
    ReadJsonl(sink, DataFormat::kJson);
  } else {
    ReadJsonArray(sink);
  }
}

// True if the first column has no name: an index as pandas writes it, which is no data.
bool CheckHeader(const CsvRecord& header, const RowSink& sink) {
  const auto fail = [&](const std::string& problem) {
    Throw(ErrorCode::kInvalid, "{}:{}: {}", sink.path().string(), header.line, problem);
  };
  if (!header.problem.empty()) fail(header.problem);
  const std::vector<std::string>& names = header.fields;
  const bool has_index = names.size() > 1 && names[0].empty();
  std::set<std::string_view> seen;
  for (size_t i = has_index ? 1 : 0; i < names.size(); ++i) {
    if (names[i].empty()) fail(fmt::format("column {} has no name in the header", i + 1));
    if (!seen.insert(names[i]).second) {
      fail(fmt::format("column '{}' is named twice in the header", names[i]));
    }
  }
  for (const auto& [column, type] : sink.options().types) {
    if (seen.contains(column)) continue;
    const std::string nearest = NearestName(column, seen);
    fail(fmt::format("'types' names the column '{}', which the header does not have{}", column,
                     nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest)));
  }
  if (has_index) {
    sink.options().warn(
        fmt::format("{}:{}: the first column has no name, as the index that pandas writes: it is "
                    "left out; to keep it, name it in the header",
                    sink.path().string(), header.line));
  }
  return has_index;
}

void ReadCsv(RowSink& sink) {
  ByteReader bytes(sink.path());
  CsvReader reader(bytes);
  CsvRecord header;
  if (!reader.Next(header)) return;
  const size_t first = CheckHeader(header, sink) ? 1 : 0;
  CsvRecord record;
  while (reader.Next(record)) {
    if (!record.problem.empty()) {
      sink.Report(record.line, record.problem);
      continue;
    }
    if (record.fields.size() != header.fields.size()) {
      constexpr size_t kNamesShown = 20;
      const auto shown =
          std::span(header.fields).first(std::min(kNamesShown, header.fields.size()));
      sink.Report(record.line,
                  fmt::format("{} fields, the header names {} columns ({}{})", record.fields.size(),
                              header.fields.size(), fmt::join(shown, ", "),
                              shown.size() < header.fields.size() ? ", ..." : ""));
      continue;
    }
    Json::object_t row;
    row.reserve(header.fields.size());
    for (size_t i = first; i < header.fields.size(); ++i) {
      AppendMember(row, header.fields[i], std::move(record.fields[i]));
    }
    if (!sink.Take(record.line, std::move(row))) return;
  }
}

}  // namespace

uint64_t ReadRows(const fs::path& path, const ReadOptions& options,
                  const std::function<bool(Json)>& emit) {
  RowSink sink(path, options, emit);
  switch (options.format ? *options.format : DataFormatOf(path)) {
    case DataFormat::kJsonl:
      ReadJsonl(sink, DataFormat::kJsonl);
      break;
    case DataFormat::kJson:
      ReadJson(sink);
      break;
    case DataFormat::kCsv:
      ReadCsv(sink);
      break;
  }
  return sink.num_skipped();
}

}  // namespace retort
