#include <optional>
#include <set>
#include <unordered_set>

#include "retort/base/data_json.h"
#include "retort/base/error.h"
#include "retort/base/json_object.h"
#include "retort/pipeline/step.h"
#include "retort/steps/step_list.h"

namespace retort {
namespace {

struct Renaming {
  std::string from;
  std::string to;
};

// `columns` is a list of names, or a map old name → new name.
std::vector<Renaming> RenamingsOf(const Json& columns) {
  std::vector<Renaming> renamings;
  if (columns.is_array()) {
    for (const Json& column : columns) {
      if (!column.is_string()) break;
      renamings.push_back({column.get<std::string>(), column.get<std::string>()});
    }
  } else if (columns.is_object()) {
    for (const auto& [from, to] : columns.items()) {
      if (!to.is_string()) break;
      renamings.push_back({from, to.get<std::string>()});
    }
  }
  if (renamings.empty() || renamings.size() != columns.size()) {
    Throw(ErrorCode::kInvalid,
          "parameter 'columns' must be a list of column names or a map from column to new name, "
          "found {}",
          DumpJson(columns));
  }
  std::set<std::string_view> from;
  std::set<std::string_view> to;
  for (const Renaming& renaming : renamings) {
    if (!from.insert(renaming.from).second) {
      Throw(ErrorCode::kInvalid, "parameter 'columns' names '{}' twice", renaming.from);
    }
    if (!to.insert(renaming.to).second) {
      Throw(ErrorCode::kInvalid, "parameter 'columns' makes two columns '{}'", renaming.to);
    }
  }
  return renamings;
}

[[noreturn]] void ThrowTaken(const Renaming& renaming) {
  Throw(ErrorCode::kInvalid,
        "the items of '{}' would replace the column '{}': give them another name in 'columns'",
        renaming.from, renaming.to);
}

class ExpandColumns : public RowsStep {
 public:
  ExpandColumns(std::vector<Renaming> renamings, bool encoded)
      : renamings_(std::move(renamings)), encoded_(encoded) {}

  std::vector<Row> Process(Row row) const override {
    std::vector<Json> lists;
    std::optional<size_t> size;
    for (const Renaming& renaming : renamings_) {
      lists.push_back(TakeList(row, renaming.from));
      if (lists.back().is_null()) continue;  // its step failed: the items go on without it
      if (size && *size != lists.back().size()) {
        Throw(ErrorCode::kInvalid,
              "columns to expand differ in length: '{}' has {} items, the columns before it {}",
              renaming.from, lists.back().size(), *size);
      }
      size = lists.back().size();
    }
    for (const Renaming& renaming : renamings_) {
      if (row.contains(renaming.to)) ThrowTaken(renaming);
    }
    std::vector<Row> rows;
    for (size_t i = 0; i < size.value_or(1); ++i) {
      Row expanded = row;
      for (size_t c = 0; c < renamings_.size(); ++c) {
        AppendMember(expanded.get_ref<Json::object_t&>(), renamings_[c].to,
                     lists[c].is_null() ? Json(nullptr) : std::move(lists[c][i]));
      }
      rows.push_back(std::move(expanded));
    }
    return rows;
  }

 private:
  Json TakeList(Row& row, const std::string& column) const {
    Json list = std::move(row.at(column));
    row.erase(column);
    if (encoded_ && list.is_string()) {
      list = ParseDataJson(list.get_ref<const std::string&>(), "column '" + column + "'");
    }
    if (!list.is_array() && !list.is_null()) {
      Throw(ErrorCode::kInvalid, "column '{}' must hold a list to be expanded, found {}", column,
            list.type_name());
    }
    return list;
  }

  std::vector<Renaming> renamings_;
  bool encoded_;
};

}  // namespace

StepType ExpandColumnsType() {
  return {
      .name = "ExpandColumns",
      .summary = "Makes one row of each item of list columns; the lists of a row have one length.",
      .example = "columns: {generations: generation}",
      .kind = StepKind::kRows,
      .params = {{.name = "columns",
                  .type = ParamType::kAny,
                  .required = true,
                  .help = "List columns to expand: names, or a map from column to new name."},
                 {.name = "encoded",
                  .type = ParamType::kBool,
                  .default_value = false,
                  .help = "The columns hold their lists as JSON text."}},
      .inputs =
          [](const Params& params) {
            std::vector<std::string> columns;
            for (const Renaming& renaming : RenamingsOf(params.At("columns"))) {
              columns.push_back(renaming.from);
            }
            return columns;
          },
      .columns_after =
          [](const Params& params, const std::vector<std::string>& before) {
            const auto renamings = RenamingsOf(params.At("columns"));
            std::unordered_set<std::string_view> expanded;
            for (const Renaming& renaming : renamings) expanded.insert(renaming.from);
            std::vector<std::string> after;
            for (const std::string& column : before) {
              if (!expanded.contains(column)) after.push_back(column);
            }
            const std::unordered_set<std::string_view> kept(after.begin(), after.end());
            for (const Renaming& renaming : renamings) {
              if (kept.contains(renaming.to)) ThrowTaken(renaming);
            }
            for (const Renaming& renaming : renamings) after.push_back(renaming.to);
            return after;
          },
      .check = [](const Params& params) { RenamingsOf(params.At("columns")); },
      .create = [](const Params& params) -> std::unique_ptr<Step> {
        return std::make_unique<ExpandColumns>(RenamingsOf(params.At("columns")),
                                               params.Bool("encoded"));
      },
  };
}

}  // namespace retort
