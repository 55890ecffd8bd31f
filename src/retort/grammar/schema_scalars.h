#pragma once

#include "retort/grammar/schema_compiler.h"

namespace retort::grammar {

// Strings, numbers, and the three words of JSON: a formula is a language, kEverything where nothing
// is demanded. (Words: kEverything or kNothing.)
class ScalarDomain {
 public:
  enum Id { kString = 0, kNumber = 1, kNull = 2, kTrue = 3, kFalse = 4 };
  using Value = Regex;

  ScalarDomain(SchemaCompiler& compiler, int id) : compiler_(compiler), id_(id) {}
  int kId() const { return id_; }
  bool tracks() const { return false; }
  Regex True() { return kEverything; }
  Regex False() { return kNothing; }
  bool IsFalse(Regex r) { return r == kNothing || (id_ != kNumber && compiler_.pool().IsEmpty(r)); }
  Regex And(const std::vector<Regex>& parts) { return compiler_.pool().And(parts); }
  Regex Or(const std::vector<Regex>& parts) { return compiler_.pool().Or(parts); }
  Regex Const(const SchemaValue& value, bool positive);
  Regex Type(const std::string& name, Draft draft, bool positive);
  void Keyword(const SchemaValue& schema, uint32_t scope, const std::string& name,
               const SchemaValue& value, bool positive, std::vector<Regex>* parts);
  void Finish(const SchemaValue&, uint32_t, bool, Regex*) {}
  bool Finishes(const SchemaValue&) const { return false; }
  void Forget(Regex*) {}

 private:
  bool IsCanonical() const;
  Regex Sign(Regex r, bool positive) { return positive ? r : compiler_.pool().Not(r); }
  void NumberKeyword(const SchemaValue& schema, const std::string& name, const SchemaValue& value,
                     bool positive, std::vector<Regex>* parts);
  void StringKeyword(const SchemaValue& schema, const std::string& name, const SchemaValue& value,
                     bool positive, std::vector<Regex>* parts);

  SchemaCompiler& compiler_;
  int id_;
};

}  // namespace retort::grammar
