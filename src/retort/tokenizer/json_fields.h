#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "retort/base/json.h"

namespace retort {

// Reads fields of one JSON object with their types checked. Throws Error{kInvalid} naming `where`
// and the field. The object must outlive this.
class JsonFields {
 public:
  JsonFields(const Json& object, std::string where);

  const std::string& where() const { return where_; }

  // nullptr if the field is absent or null.
  const Json* Find(std::string_view name) const;

  const std::string& Text(std::string_view name) const;
  std::string Text(std::string_view name, std::string_view fallback) const;
  bool Flag(std::string_view name, bool fallback) const;
  int64_t Integer(std::string_view name) const;
  const Json& Array(std::string_view name) const;

  // `where` of a field, for messages and for objects inside.
  std::string At(std::string_view name) const;

  [[noreturn]] void Mistyped(std::string_view name, std::string_view expected) const;

 private:
  const Json& object_;
  std::string where_;
};

}  // namespace retort
