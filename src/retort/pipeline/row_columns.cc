#include "retort/pipeline/row_columns.h"

#include "retort/base/error.h"
#include "retort/base/json_object.h"

namespace retort {
namespace {

constexpr size_t kNamesShown = 50;  // in a message: more would hide it

[[noreturn]] void ThrowClash(std::string_view first, std::string_view second,
                             std::string_view target) {
  Throw(ErrorCode::kInvalid, "the columns '{}' and '{}' of the row would both become '{}'",
        WithoutAside(std::string(first)), WithoutAside(std::string(second)), target);
}

// Throws Error{kInvalid} if two columns would have one name. Only new names can clash.
void CheckDistinct(const Json::object_t& columns, const std::map<std::string, std::string>& names) {
  std::map<std::string_view, std::string_view> old_name;  // by new name
  for (const auto& [column, value] : columns) {
    const auto found = names.find(column);
    if (found == names.end()) continue;
    const auto [first, added] = old_name.emplace(found->second, column);
    if (!added) ThrowClash(first->second, column, found->second);
  }
  if (old_name.empty()) return;
  for (const auto& [column, value] : columns) {
    if (names.contains(column)) continue;
    const auto clash = old_name.find(column);
    if (clash != old_name.end()) ThrowClash(clash->second, column, column);
  }
}

constexpr char kAside = '\x1F';  // begins no name of a data set, or else the clash is noticed

std::string Aside(const std::string& name) { return kAside + name; }

// Names that mean something else inside the step than outside: of inputs and outputs that the
// mappings give another name.
std::vector<std::string> InnerNames(const GraphStep& step) {
  std::vector<std::string> names;
  if (step.kind() != StepKind::kRows && step.kind() != StepKind::kGlobal) return names;
  for (const auto& [own, column] : step.config.input_mappings) {
    if (own != column) names.push_back(own);
  }
  for (const ColumnBinding& output : step.outputs) {
    if (output.own != output.column) names.push_back(output.own);
  }
  return names;
}

}  // namespace

std::map<std::string, std::string> NamesInside(const GraphStep& step) {
  std::map<std::string, std::string> names;
  for (const auto& [own, column] : step.config.input_mappings) names[column] = own;
  for (const std::string& own : InnerNames(step)) names.emplace(own, Aside(own));
  return names;
}

std::map<std::string, std::string> NamesOutside(const GraphStep& step) {
  std::map<std::string, std::string> names = step.config.output_mappings;
  for (const auto& [own, column] : step.config.input_mappings) names.emplace(own, column);
  for (const std::string& own : InnerNames(step)) names.emplace(Aside(own), own);
  return names;
}

std::string WithoutAside(const std::string& name) {
  return name.starts_with(kAside) ? name.substr(1) : name;
}

void ToOwnNames(const GraphStep& step, Row& row) { RenameColumns(row, NamesInside(step)); }
void ToColumnNames(const GraphStep& step, Row& row) { RenameColumns(row, NamesOutside(step)); }

void CheckReplaced(const GraphStep& step, const Row& row) {
  for (const ColumnBinding& output : step.outputs) {
    if (output.may_replace || !row.contains(output.column)) continue;
    Throw(
        ErrorCode::kInvalid,
        "the row has a column '{0}' already, which the check of the pipeline did not see, and the "
        "step would replace it: give its output another name with 'output_mappings', or write "
        "'{1}: {0}' there",
        output.column, output.own);
  }
}

void RenameColumns(Row& row, const std::map<std::string, std::string>& names) {
  if (names.empty()) return;
  auto& columns = row.get_ref<Json::object_t&>();
  CheckDistinct(columns, names);
  Json::object_t renamed;
  renamed.reserve(columns.size());
  for (auto& [column, value] : columns) {
    const auto found = names.find(column);
    AppendMember(renamed, found == names.end() ? column : found->second, std::move(value));
  }
  row = std::move(renamed);
}

std::string ListNames(std::span<const std::string> names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < kNamesShown; ++i) {
    text += (text.empty() ? "" : ", ") + names[i];
  }
  if (names.size() > kNamesShown) text += fmt::format(" and {} more", names.size() - kNamesShown);
  return text.empty() ? "none" : text;
}

std::string ListColumns(const Row& row) {
  std::vector<std::string> names;
  for (const auto& [column, value] : row.items()) names.push_back(column);
  return ListNames(names);
}

}  // namespace retort
