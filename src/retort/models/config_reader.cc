#include "retort/models/config_reader.h"

#include <cmath>
#include <utility>

#include "retort/base/error.h"

namespace retort {

ConfigReader::ConfigReader(const Json& object, std::string source, std::string prefix)
    : object_(&object), source_(std::move(source)), prefix_(std::move(prefix)) {
  if (!object.is_object()) {
    Throw(ErrorCode::kInvalid, "{}: expected an object, found {}", source_, object.type_name());
  }
}

ConfigReader ConfigReader::WithPrefix(std::string prefix) const {
  return ConfigReader(*object_, source_, std::move(prefix));
}

ConfigReader ConfigReader::Object(std::string_view key) const {
  const Json& value = Need(key);
  if (!value.is_object()) Refuse(key, "an object", value);
  return ConfigReader(value, source_ + ", " + prefix_ + std::string(key));
}

const Json* ConfigReader::Find(std::string_view key) const {
  const auto found = object_->find(prefix_ + std::string(key));
  if (found == object_->end() || found->is_null()) return nullptr;
  return &*found;
}

const Json& ConfigReader::Need(std::string_view key) const {
  const Json* value = Find(key);
  if (value == nullptr)
    Throw(ErrorCode::kInvalid, "{}: key '{}{}' is missing", source_, prefix_, key);
  return *value;
}

void ConfigReader::Refuse(std::string_view key, std::string_view expected,
                          const Json& found) const {
  constexpr size_t kShownMax = 60;
  std::string text = DumpJson(found);
  if (text.size() > kShownMax) text = std::string(found.type_name());  // not half a UTF-8 letter
  Throw(ErrorCode::kInvalid, "{}: '{}{}' must be {}, found {}", source_, prefix_, key, expected,
        text);
}

int64_t ConfigReader::ToInt(std::string_view key, const Json& value, int64_t min,
                            int64_t max) const {
  const std::string expected = fmt::format("a whole number from {} to {}", min, max);
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(INT64_MAX)) Refuse(key, expected, value);
  }
  int64_t number = 0;
  if (value.is_number_integer()) {
    number = value.get<int64_t>();
  } else if (value.is_number_float() && std::abs(value.get<double>()) < 0x1p53 &&
             std::trunc(value.get<double>()) == value.get<double>()) {
    number = static_cast<int64_t>(value.get<double>());  // 4096.0, as some writers have it
  } else {
    Refuse(key, expected, value);
  }
  if (number < min || number > max) Refuse(key, expected, value);
  return number;
}

int64_t ConfigReader::Int(std::string_view key, int64_t min, int64_t max) const {
  return ToInt(key, Need(key), min, max);
}

int64_t ConfigReader::IntOr(std::string_view key, int64_t fallback, int64_t min,
                            int64_t max) const {
  const Json* value = Find(key);
  return value == nullptr ? fallback : ToInt(key, *value, min, max);
}

double ConfigReader::Float(std::string_view key) const {
  const Json& value = Need(key);
  if (!value.is_number()) Refuse(key, "a number", value);
  const double number = value.get<double>();
  if (!std::isfinite(number)) Refuse(key, "a finite number", value);
  return number;
}

double ConfigReader::FloatOr(std::string_view key, double fallback) const {
  return Has(key) ? Float(key) : fallback;
}

bool ConfigReader::BoolOr(std::string_view key, bool fallback) const {
  const Json* value = Find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) Refuse(key, "true or false", *value);
  return value->get<bool>();
}

std::string ConfigReader::String(std::string_view key) const {
  const Json& value = Need(key);
  if (!value.is_string()) Refuse(key, "a string", value);
  return value.get<std::string>();
}

std::string ConfigReader::StringOr(std::string_view key, std::string fallback) const {
  return Has(key) ? String(key) : std::move(fallback);
}

std::vector<int64_t> ConfigReader::IntList(std::string_view key, int64_t min, int64_t max) const {
  const Json* value = Find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) return {ToInt(key, *value, min, max)};
  std::vector<int64_t> numbers;
  for (const Json& element : *value) numbers.push_back(ToInt(key, element, min, max));
  return numbers;
}

int64_t ConfigReader::ArraySize(std::string_view key) const {
  const Json* value = Find(key);
  if (value == nullptr) return 0;
  if (!value->is_array()) Refuse(key, "an array", *value);
  return static_cast<int64_t>(value->size());
}

}  // namespace retort
