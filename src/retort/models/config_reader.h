#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "retort/base/json.h"

namespace retort {

// Reads typed values out of a model's config, which anybody may have written: a value of the wrong
// type or outside its range is Error{kInvalid} naming file, key, what was expected and what was
// found. A key that is absent or null is treated alike. Does not own the JSON.
class ConfigReader {
 public:
  // `prefix` is put before every key ("llama." in GGUF).
  ConfigReader(const Json& object, std::string source, std::string prefix = "");

  const std::string& source() const { return source_; }
  bool Has(std::string_view key) const { return Find(key) != nullptr; }
  // The same object under another prefix.
  ConfigReader WithPrefix(std::string prefix) const;
  // The object at `key`; must be there.
  ConfigReader Object(std::string_view key) const;

  int64_t Int(std::string_view key, int64_t min, int64_t max) const;
  int64_t IntOr(std::string_view key, int64_t fallback, int64_t min, int64_t max) const;
  double Float(std::string_view key) const;
  double FloatOr(std::string_view key, double fallback) const;
  bool BoolOr(std::string_view key, bool fallback) const;
  std::string String(std::string_view key) const;
  std::string StringOr(std::string_view key, std::string fallback) const;
  // An integer or a list of them; empty if absent.
  std::vector<int64_t> IntList(std::string_view key, int64_t min, int64_t max) const;
  // Elements of the array at `key`; 0 if absent.
  int64_t ArraySize(std::string_view key) const;

 private:
  const Json* Find(std::string_view key) const;
  const Json& Need(std::string_view key) const;
  [[noreturn]] void Refuse(std::string_view key, std::string_view expected,
                           const Json& found) const;
  int64_t ToInt(std::string_view key, const Json& value, int64_t min, int64_t max) const;

  const Json* object_;
  std::string source_;
  std::string prefix_;
};

}  // namespace retort
