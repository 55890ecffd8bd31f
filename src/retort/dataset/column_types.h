#pragma once

#include <string_view>

#include "retort/base/json.h"

namespace retort {

// What the text of a column is to become (`types:` of a source). A CSV file holds text only.
enum class ColumnType { kInt, kFloat, kBool, kJson };

inline constexpr std::string_view kColumnTypeNames[] = {"int", "float", "bool", "json"};

// Of a name in kColumnTypeNames. Throws Error{kInvalid} for another.
ColumnType ColumnTypeOf(std::string_view name);

// The value as one of the type. Text is read: as an integer of 64 bits, a finite number, true or
// false (in any case), or JSON; spaces around it do not matter, and empty text is null. A value
// that has the type is left as it is, an integer where a float is wanted becomes one. Throws
// Error{kInvalid} "expected an integer, found ..." for anything else.
Json ConvertColumn(ColumnType type, Json value);

}  // namespace retort
