#include "retort/dataset/column_types.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "retort/base/data_json.h"
#include "retort/base/error.h"

namespace retort {
namespace {

constexpr size_t kTextBytesShown = 40;  // of a value, in a message

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::string_view WithoutPlus(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  return text;
}

template <typename T>
std::optional<T> ReadNumber(std::string_view text) {
  T number{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

std::optional<Json> ReadInt(std::string_view text) {
  if (const auto number = ReadNumber<int64_t>(text)) return Json(*number);
  if (const auto number = ReadNumber<uint64_t>(text)) return Json(*number);
  return std::nullopt;
}

std::optional<Json> ReadFloat(std::string_view text) {
  const auto number = ReadNumber<double>(text);
  if (!number || !std::isfinite(*number)) return std::nullopt;
  return Json(*number);
}

std::optional<Json> ReadBool(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower == "true") return Json(true);
  if (lower == "false") return Json(false);
  return std::nullopt;
}

std::optional<Json> ReadText(ColumnType type, std::string_view text) {
  switch (type) {
    case ColumnType::kInt:
      return ReadInt(WithoutPlus(text));
    case ColumnType::kFloat:
      return ReadFloat(WithoutPlus(text));
    case ColumnType::kBool:
      return ReadBool(text);
    case ColumnType::kJson:
      return ParseDataJson(text, "its JSON");
  }
  return std::nullopt;
}

bool HasType(ColumnType type, const Json& value) {
  switch (type) {
    case ColumnType::kInt:
      return value.is_number_integer();
    case ColumnType::kFloat:
      return value.is_number_float();
    case ColumnType::kBool:
      return value.is_boolean();
    case ColumnType::kJson:
      return true;
  }
  return false;
}

std::string_view Expected(ColumnType type) {
  switch (type) {
    case ColumnType::kInt:
      return "an integer of 64 bits";
    case ColumnType::kFloat:
      return "a finite number";
    case ColumnType::kBool:
      return "true or false";
    case ColumnType::kJson:
      return "JSON";
  }
  return "";
}

}  // namespace

ColumnType ColumnTypeOf(std::string_view name) {
  const auto* found = std::find(std::begin(kColumnTypeNames), std::end(kColumnTypeNames), name);
  if (found == std::end(kColumnTypeNames)) {
    Throw(ErrorCode::kInvalid, "expected a type of {}, found '{}'",
          fmt::join(kColumnTypeNames, ", "), name);
  }
  return static_cast<ColumnType>(found - std::begin(kColumnTypeNames));
}

Json ConvertColumn(ColumnType type, Json value) {
  if (value.is_null()) return value;
  if (value.is_string()) {
    const std::string_view text = Trimmed(value.get_ref<const std::string&>());
    if (text.empty()) return nullptr;
    if (auto read = ReadText(type, text)) return *std::move(read);
  } else if (HasType(type, value)) {
    return value;
  } else if (type == ColumnType::kFloat && value.is_number()) {
    return value.get<double>();
  }
  const std::string text = DumpJson(value);
  Throw(ErrorCode::kInvalid, "expected {}, found {}", Expected(type),
        text.size() > kTextBytesShown ? text.substr(0, kTextBytesShown) + "..." : text);
}

}  // namespace retort
