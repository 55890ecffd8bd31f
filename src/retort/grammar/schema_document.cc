#include "retort/grammar/schema_document.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "retort/base/error.h"

namespace retort::grammar {
namespace {

using nlohmann::json;

// What the parser reads through, so that it is known how far it is.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** reached) : at_(at), reached_(reached) {}
  const char& operator*() const { return *at_; }
  CountingIterator& operator++() {
    *reached_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** reached_;
};

class Reader : public nlohmann::json_sax<json> {
 public:
  Reader(SchemaDocument* document, const Limits& limits)
      : document_(document),
        origin_(document->origin),
        limits_(limits),
        reached_(document->text.data()) {}
  const char** reached() { return &reached_; }

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
      Throw(ErrorCode::kInvalid, "{}:{}: key '{}' is repeated in {}", origin_,
            LineAndColumn(document_->text, OpeningQuote()), name, PointerTo(*object));
    }
    key_ = std::move(name);
    key_offset_ = OpeningQuote();
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    std::string why = error.what();
    // "[...] parse error at line 1, column 9: ": said here as everywhere else.
    if (const size_t at = why.find(": "); at != std::string::npos) why.erase(0, at + 2);
    Throw(ErrorCode::kInvalid, "{}:{}: not JSON: {}", origin_,
          LineAndColumn(document_->text, position == 0 ? 0 : position - 1), why);
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
    value->offset = Reached() == 0 ? 0 : Reached() - 1;
    if (parent->is_object()) {
      value->offset = key_offset_;
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
  uint32_t Reached() const { return static_cast<uint32_t>(reached_ - document_->text.data()); }
  // Of the key that was just read.
  uint32_t OpeningQuote() const {
    const std::string_view text = document_->text;
    uint32_t at = Reached() - 1;
    while (at > 0) {
      --at;
      if (text[at] != '"') continue;
      uint32_t backslashes = 0;
      while (backslashes < at && text[at - 1 - backslashes] == '\\') ++backslashes;
      if (backslashes % 2 == 0) break;
    }
    return at;
  }
  bool Close() {
    open_.pop_back();
    known_.pop_back();
    return true;
  }

  SchemaDocument* document_;
  const std::string& origin_;
  const Limits& limits_;
  std::vector<SchemaValue*> open_;
  std::vector<std::unordered_set<std::string>> known_;
  std::string key_;
  uint32_t key_offset_ = 0;
  const char* reached_;
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

std::string LineAndColumn(std::string_view text, size_t offset) {
  size_t line = 1;
  size_t column = 1;
  for (size_t i = 0; i < std::min(offset, text.size()); ++i) {
    column = text[i] == '\n' ? 1 : column + 1;
    line += text[i] == '\n' ? 1 : 0;
  }
  return std::to_string(line) + ":" + std::to_string(column);
}

std::unique_ptr<SchemaDocument> ReadSchemaDocument(std::string_view text, std::string_view origin,
                                                   const Limits& limits) {
  if (text.size() > limits.text_bytes_max) {
    Throw(ErrorCode::kExhausted, "{}: {} bytes, at most {} are read", origin, text.size(),
          limits.text_bytes_max);
  }
  auto document = std::make_unique<SchemaDocument>();
  document->text = text;
  document->origin = origin;
  Reader reader(document.get(), limits);
  json::sax_parse(CountingIterator(text.data(), reader.reached()),
                  CountingIterator(text.data() + text.size(), reader.reached()), &reader);
  return document;
}

}  // namespace retort::grammar
