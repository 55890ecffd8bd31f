#include <algorithm>
#include <optional>

#include "retort/base/error.h"
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
  return patterns;
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
  }

  void Read(const StepContext& context, const std::function<bool(Row)>& emit) override {
    ReadOptions options = options_;
    options.warn = context.warn;
    int64_t left = num_examples_;
    bool wanted = left != 0;
    for (const std::string& pattern : patterns_) {
      for (const auto& file : FindDataFiles(pattern, context.base_dir)) {
        if (!wanted) return;
        ReadRows(file, options, [&](Json row) {
          wanted = emit(std::move(row)) && --left != 0 && !context.cancelled();
          return wanted;
        });
      }
    }
  }

 private:
  std::vector<std::string> patterns_;
  int64_t num_examples_;
  ReadOptions options_;
};

}  // namespace

StepType LoadDataFromFileSystemType() {
  return {
      .name = "LoadDataFromFileSystem",
      .summary = "Rows of JSONL, JSON or CSV files.",
      .example = "data_files: seeds.jsonl",
      .kind = StepKind::kSource,
      .params = {{.name = "data_files",
                  .type = ParamType::kAny,
                  .required = true,
                  .help =
                      "A file, a folder, a pattern, or a list of these; relative paths start at "
                      "the pipeline file."},
                 {.name = "filetype",
                  .type = ParamType::kString,
                  .choices = {"jsonl", "json", "csv"},
                  .help = "The files' format; unless set, told by their extension."},
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
      .check = [](const Params& params) { PatternsOf(params); },
      .create = [](const Params& params) -> std::unique_ptr<Step> {
        return std::make_unique<LoadDataFromFileSystem>(params);
      },
  };
}

}  // namespace retort
