#include "retort/chat/filters.h"

#include <array>

#include "retort/base/json.h"
#include "retort/chat/builtins.h"
#include "retort/chat/operations.h"
#include "retort/chat/strings.h"

namespace retort::jinja {
namespace {

std::array<std::span<const FilterEntry>, 4> AllFilters() {
  return {TextFilters(), SequenceFilters(), LazyFilters(), NumberFilters()};
}

}  // namespace

FilterFunction FindFilter(std::string_view name) {
  for (const auto& part : AllFilters()) {
    for (const FilterEntry& entry : part) {
      if (entry.name == name) return entry.function;
    }
  }
  return nullptr;
}

std::string UnknownFilterMessage(std::string_view name) {
  std::vector<std::string_view> names;
  for (const auto& part : AllFilters()) {
    for (const FilterEntry& entry : part) names.push_back(entry.name);
  }
  const std::string nearest = NearestName(name, names);
  return fmt::format("there is no filter {}{}", Shown(name),
                     nearest.empty() ? "" : " (did you mean '" + nearest + "'?)");
}

Value LookUpPath(Runtime& runtime, const Value& item, const Value& path, const Value* otherwise) {
  const auto or_default = [&](const Value& value) {
    return value.is_undefined() && otherwise != nullptr ? *otherwise : value;
  };
  if (!path.is_str()) return or_default(GetItem(runtime, item, path));
  const std::string_view text = path.bytes();
  Value value = item;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('.', at), text.size());
    const std::string_view name = text.substr(at, end - at);
    const bool is_index =
        !name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == name.npos;
    value = or_default(GetItem(
        runtime, value, is_index ? Value::Int(std::stoll(std::string(name))) : runtime.Str(name)));
    at = end + 1;
  }
  return value;
}

Value FoldCase(Runtime& runtime, const Value& value, bool is_case_sensitive) {
  if (!value.is_str() || is_case_sensitive) return value;
  return runtime.StrBuilt(Lower(runtime, value.text()));
}

}  // namespace retort::jinja
