#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "retort/grammar/limits.h"

namespace retort::grammar {

// A JSON value of a schema: numbers as they are written, members in their order.
struct SchemaValue {
  enum class Type { kNull, kBool, kNumber, kString, kArray, kObject };
  Type type = Type::kNull;
  bool boolean = false;
  std::string text;  // of a string; of a number its lexeme
  std::vector<std::pair<std::string, const SchemaValue*>> members;
  std::vector<const SchemaValue*> items;
  const SchemaValue* parent = nullptr;
  std::string key;        // in the parent: member name, or index
  uint32_t offset = 0;    // bytes before it (before its key, of members) in the document
  uint32_t resource = 0;  // of the resolver

  bool is_object() const { return type == Type::kObject; }
  bool is_array() const { return type == Type::kArray; }
  bool is_string() const { return type == Type::kString; }
  bool is_number() const { return type == Type::kNumber; }
  const SchemaValue* Find(std::string_view name) const {
    for (const auto& [key, value] : members) {
      if (key == name) return value;
    }
    return nullptr;
  }
};

// JSON pointer of a value in its document, as a URI fragment without '#'; "(root)" if empty.
std::string PointerTo(const SchemaValue& value);

// "3:14": line and column, from 1, of a byte of a text; columns are counted in bytes.
std::string LineAndColumn(std::string_view text, size_t offset);

// The owner of a document's values.
struct SchemaDocument {
  std::string_view text;  // the caller's
  std::string origin;
  std::deque<SchemaValue> values;
  SchemaValue* root = nullptr;
};

// Throws Error{kInvalid} on text that is not strict JSON or repeats a key, Error{kExhausted} beyond
// the limits. `text` must outlive the document.
std::unique_ptr<SchemaDocument> ReadSchemaDocument(std::string_view text, std::string_view origin,
                                                   const Limits& limits);

}  // namespace retort::grammar
