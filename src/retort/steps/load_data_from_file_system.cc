#include <map>
#include <optional>
#include <set>

#include "retort/base/error.h"
#include "retort/base/json_object.h"
#include "retort/dataset/row_reader.h"
#include "retort/pipeline/step.h"
#include "retort/steps/step_list.h"

namespace retort {
namespace {

// `data_files` is a path, a folder or a glob, or a list of them.
std::vector<std::string> PatternsOf(const Params& params) {
  const Json& data_files = params.At("data_files");
  std::vector<std::string> patterns;
  for (const Json& pattern : data_files.is_array() ? data_files : Json::array({data_files})) {
    if (!pattern.is_string() || pattern.get_ref<const std::string&>().empty()) break;
    patterns.push_back(pattern.get<std::string>());
  }
  if (patterns.empty() || (data_files.is_array() && patterns.size() != data_files.size())) {
    Throw(ErrorCode::kInvalid,
          "parameter 'data_files' must be a file, a folder, a pattern such as data/*.jsonl, or a "
          "list of these, found {}",
          DumpJson(data_files));
  }
  std::set<std::string> seen;
  for (const std::string& pattern : patterns) {
    if (!seen.insert(pattern).second) {
      Throw(ErrorCode::kInvalid, "parameter 'data_files' names '{}' twice", pattern);
    }
  }
  return patterns;
}

// `types` is a map from column to a name of kColumnTypeNames.
std::map<std::string, ColumnType> TypesOf(const Params& params) {
  std::map<std::string, ColumnType> types;
  if (!params.Has("types")) return types;
  for (const auto& [column, type] : params.At("types").items()) {
    try {
      types[column] = ColumnTypeOf(type.is_string() ? type.get<std::string>() : DumpJson(type));
    } catch (const Error& error) {
      Throw(ErrorCode::kInvalid, "parameter 'types', column '{}': {}", column, error.message());
    }
  }
  return types;
}

std::optional<DataFormat> FormatOf(const Params& params) {
  if (!params.Has("filetype")) return std::nullopt;
  const std::string name = params.String("filetype");
  if (name == "csv") return DataFormat::kCsv;
  return name == "jsonl" ? DataFormat::kJsonl : DataFormat::kJson;
}

class LoadDataFromFileSystem : public SourceStep {
 public:
  explicit LoadDataFromFileSystem(const Params& params)
      : patterns_(PatternsOf(params)),
        num_examples_(params.Has("num_examples") ? params.Int("num_examples") : -1) {
    options_.format = FormatOf(params);
    options_.on_bad_line = params.String("on_bad_line") == "skip" ? BadLine::kSkip : BadLine::kFail;
    options_.types = TypesOf(params);
    if (params.Has("defaults")) defaults_ = params.At("defaults");
  }

  void Read(const StepContext& context, const std::function<bool(Row)>& emit) override {
    ReadOptions options = options_;
    options.warn = context.warn;
    int64_t left = num_examples_;
    bool wanted = left != 0;
    std::set<std::string> untyped;  // columns of `types` that no row had so far
    for (const auto& [column, type] : options_.types) untyped.insert(column);
    for (const auto& file : Files(context)) {
      if (!wanted) return;
      uint64_t num_rows = 0;
      ReadRows(file, options, [&](Json row) {
        ++num_rows;
        std::erase_if(untyped, [&](const std::string& column) { return row.contains(column); });
        FillIn(row);
        wanted = emit(std::move(row)) && --left != 0 && !context.cancelled();
        return wanted;
      });
      context.note_file(file, num_rows);
    }
    for (const std::string& column : untyped) {
      if (wanted) context.warn(fmt::format("no row has the column '{}' of 'types'", column));
    }
  }

 private:
  // Of all patterns, in their order. Throws Error{kInvalid} for a file that two of them name: its
  // rows would come twice.
  std::vector<std::filesystem::path> Files(const StepContext& context) const {
    std::vector<std::filesystem::path> files;
    std::map<std::filesystem::path, std::string> named_by;
    for (const std::string& pattern : patterns_) {
      for (const auto& file : FindDataFiles(pattern, context.base_dir)) {
        const auto [first, added] = named_by.emplace(file.lexically_normal(), pattern);
        if (!added) {
          Throw(ErrorCode::kInvalid, "'{}' is one of the files of '{}' and of '{}' in 'data_files'",
                file.string(), first->second, pattern);
        }
        files.push_back(file);
      }
    }
    return files;
  }

  // Gives the row what it lacks of `defaults`.
  void FillIn(Row& row) const {
    for (const auto& [column, value] : defaults_.items()) {
      const auto found = row.find(column);
      if (found == row.end()) {
        AppendMember(row.get_ref<Json::object_t&>(), column, value);
      } else if (found->is_null()) {
        *found = value;
      }
    }
  }

  std::vector<std::string> patterns_;
  int64_t num_examples_;
  ReadOptions options_;
  Json defaults_ = Json::object();
};

}  // namespace

StepType LoadDataFromFileSystemType() {
  return {
      .name = "LoadDataFromFileSystem",
      .summary =
          "Rows of JSONL, JSON or CSV files. A number is a 64-bit integer or a double; "
          "one that is neither makes a bad line, as does a key given twice.",
      .example = "data_files: seeds.jsonl",
      .kind = StepKind::kSource,
      .params = {{.name = "data_files",
                  .type = ParamType::kAny,
                  .required = true,
                  .help =
                      "A file, a folder (its .jsonl, .ndjson, .json and .csv files), a pattern "
                      "(*, ?, [...]; ** for folders at any depth), or a list of these. Relative "
                      "paths start at the pipeline file's folder (outputs: at the current one), "
                      "~/ at the home folder. Hidden files and folders are passed over; ** does "
                      "not enter symbolic links."},
                 {.name = "filetype",
                  .type = ParamType::kString,
                  .choices = {"jsonl", "json", "csv"},
                  .help = "The files' format; unless set, told by their extension. json: one array "
                          "of objects, or one object on each line."},
                 {.name = "types",
                  .type = ParamType::kObject,
                  .help = "A map from column to int, float, bool or json: what its text becomes "
                          "(all that a CSV file holds is text). Empty text becomes null; text "
                          "that is none makes a bad line."},
                 {.name = "defaults",
                  .type = ParamType::kObject,
                  .help = "A map from column to the value that a row gets which lacks it or has "
                          "null there, so that rows of differing shape can go on."},
                 {.name = "num_examples",
                  .type = ParamType::kInt,
                  .min = 1,
                  .max = 1e15,
                  .help = "Stop after so many rows."},
                 {.name = "on_bad_line",
                  .type = ParamType::kString,
                  .default_value = "fail",
                  .choices = {"fail", "skip"},
                  .help =
                      "What to do with a line that is no row: stop, or warn with its number and "
                      "go on."}},
      .check =
          [](const Params& params) {
            PatternsOf(params);
            TypesOf(params);
          },
      .create = [](const Params& params) -> std::unique_ptr<Step> {
        return std::make_unique<LoadDataFromFileSystem>(params);
      },
  };
}

}  // namespace retort
