#include "retort/grammar/schema_document.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "retort/base/error.h"

namespace retort::grammar {
namespace {

using nlohmann::json;

class Reader : public nlohmann::json_sax<json> {
 public:
  Reader(SchemaDocument* document, std::string_view origin, const Limits& limits)
      : document_(document), origin_(origin), limits_(limits) {}

  bool null() override {
    Add(SchemaValue::Type::kNull);
    return true;
  }
  bool boolean(bool value) override {
    Add(SchemaValue::Type::kBool)->boolean = value;
    return true;
  }
  bool number_integer(number_integer_t value) override { return Number(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Number(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& lexeme) override { return Number(lexeme); }
  bool string(string_t& value) override {
    Add(SchemaValue::Type::kString)->text = std::move(value);
    return true;
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(SchemaValue::Type::kObject); }
  bool start_array(std::size_t) override { return Open(SchemaValue::Type::kArray); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    SchemaValue* object = open_.back();
    // Few keys are compared one by one, many through a set.
    bool repeated = false;
    if (object->members.size() < 32) {
      repeated = object->Find(name) != nullptr;
    } else {
      auto& known = known_.back();
      if (known.empty()) {
        for (const auto& member : object->members) known.insert(member.first);
      }
      repeated = !known.insert(name).second;
    }
    if (repeated) {
      Throw(ErrorCode::kInvalid, "{}: key '{}' is repeated in {}", origin_, name,
            PointerTo(*object));
    }
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    std::string why = error.what();
    if (const size_t at = why.find("] "); at != std::string::npos) why.erase(0, at + 2);
    Throw(ErrorCode::kInvalid, "{}: not JSON at byte {}: {}", origin_, position, why);
  }

 private:
  bool Number(std::string lexeme) {
    Add(SchemaValue::Type::kNumber)->text = std::move(lexeme);
    return true;
  }
  SchemaValue* Add(SchemaValue::Type type) {
    SchemaValue* value = &document_->values.emplace_back();
    value->type = type;
    if (open_.empty()) {
      document_->root = value;
      return value;
    }
    SchemaValue* parent = open_.back();
    value->parent = parent;
    if (parent->is_object()) {
      value->key = key_;
      parent->members.emplace_back(std::move(key_), value);
    } else {
      value->key = std::to_string(parent->items.size());
      parent->items.push_back(value);
    }
    return value;
  }
  bool Open(SchemaValue::Type type) {
    SchemaValue* value = Add(type);
    if (open_.size() >= static_cast<size_t>(limits_.depth_max)) {
      Throw(ErrorCode::kExhausted, "{}: nested deeper than {}", origin_, limits_.depth_max);
    }
    open_.push_back(value);
    known_.emplace_back();
    return true;
  }
  bool Close() {
    open_.pop_back();
    known_.pop_back();
    return true;
  }

  SchemaDocument* document_;
  std::string_view origin_;
  const Limits& limits_;
  std::vector<SchemaValue*> open_;
  std::vector<std::unordered_set<std::string>> known_;
  std::string key_;
};

}  // namespace

std::string PointerTo(const SchemaValue& value) {
  std::string pointer;
  for (const SchemaValue* at = &value; at->parent != nullptr; at = at->parent) {
    std::string key;
    for (const char c : at->key) {
      key += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    }
    pointer = "/" + key + pointer;
  }
  return pointer.empty() ? "(root)" : pointer;
}

std::unique_ptr<SchemaDocument> ReadSchemaDocument(std::string_view text, std::string_view origin,
                                                   const Limits& limits) {
  if (text.size() > limits.text_bytes_max) {
    Throw(ErrorCode::kExhausted, "{}: {} bytes, at most {} are read", origin, text.size(),
          limits.text_bytes_max);
  }
  auto document = std::make_unique<SchemaDocument>();
  Reader reader(document.get(), origin, limits);
  json::sax_parse(text, &reader);
  return document;
}

}  // namespace retort::grammar
