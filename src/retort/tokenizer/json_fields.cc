#include "retort/tokenizer/json_fields.h"

#include <utility>

#include "retort/base/error.h"

namespace retort {

JsonFields::JsonFields(const Json& object, std::string where)
    : object_(object), where_(std::move(where)) {
  if (!object.is_object()) {
    Throw(ErrorCode::kInvalid, "{}: expected an object, found {}", where_, object.type_name());
  }
}

const Json* JsonFields::Find(std::string_view name) const {
  const auto at = object_.find(name);
  return at == object_.end() || at->is_null() ? nullptr : &*at;
}

std::string JsonFields::At(std::string_view name) const {
  return fmt::format("{}.{}", where_, name);
}

void JsonFields::Mistyped(std::string_view name, std::string_view expected) const {
  const Json* value = Find(name);
  Throw(ErrorCode::kInvalid, "{}: expected {}, found {}", At(name), expected,
        value == nullptr ? "nothing" : value->type_name());
}

const std::string& JsonFields::Text(std::string_view name) const {
  const Json* value = Find(name);
  if (value == nullptr || !value->is_string()) Mistyped(name, "a string");
  return value->get_ref<const std::string&>();
}

std::string JsonFields::Text(std::string_view name, std::string_view fallback) const {
  return Find(name) == nullptr ? std::string(fallback) : Text(name);
}

bool JsonFields::Flag(std::string_view name, bool fallback) const {
  const Json* value = Find(name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) Mistyped(name, "true or false");
  return value->get<bool>();
}

int64_t JsonFields::Integer(std::string_view name) const {
  const Json* value = Find(name);
  if (value == nullptr || !value->is_number_integer()) Mistyped(name, "an integer");
  if (value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX) {
    Mistyped(name, "an integer below 2^63");
  }
  return value->get<int64_t>();
}

const Json& JsonFields::Array(std::string_view name) const {
  const Json* value = Find(name);
  if (value == nullptr || !value->is_array()) Mistyped(name, "an array");
  return *value;
}

}  // namespace retort
