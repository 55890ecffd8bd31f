#pragma once

#include "retort/grammar/schema_compiler.h"

namespace retort::grammar {

// Disjunctive normal form: some clause holds. One empty clause: true. No clause: false.
using ObjectDnf = std::vector<ObjectClause>;
using ArrayDnf = std::vector<ArrayClause>;

class ObjectDomain {
 public:
  using Value = ObjectDnf;
  explicit ObjectDomain(SchemaCompiler& compiler) : compiler_(compiler) {}
  int kId() const { return 5; }
  bool tracks() const { return compiler_.tracks_properties(); }
  ObjectDnf True() { return {ObjectClause{}}; }
  ObjectDnf False() { return {}; }
  bool IsFalse(const ObjectDnf& value) { return value.empty(); }
  ObjectDnf And(const std::vector<ObjectDnf>& parts);
  ObjectDnf Or(std::vector<ObjectDnf> parts);
  ObjectDnf Const(const SchemaValue& value, bool positive);
  ObjectDnf Type(const std::string& name, Draft, bool positive) {
    return (name == "object") == positive ? True() : False();
  }
  void Keyword(const SchemaValue& schema, uint32_t scope, const std::string& name,
               const SchemaValue& value, bool positive, std::vector<ObjectDnf>* parts);
  void Finish(const SchemaValue& schema, uint32_t scope, bool positive, ObjectDnf* value);
  bool Finishes(const SchemaValue& schema) const;
  void Forget(ObjectDnf* value) {
    for (ObjectClause& clause : *value) clause.evaluated.clear();
  }

 private:
  bool Merge(ObjectClause* into, const ObjectClause& from, bool look_closely);
  bool Possible(const ObjectClause& clause, bool look_closely);
  ObjectClause WithName(const std::string& name, Literal literal, bool required);
  ObjectClause Without(const std::string& name);
  ObjectClause Required(const std::vector<std::string>& names);
  void Dependent(const SchemaValue& schema, uint32_t scope, const std::string& keyword,
                 const SchemaValue& value, bool positive, std::vector<ObjectDnf>* parts);
  KeySet::Atom AdditionalOf(const SchemaValue& schema);
  Literal Never();

  SchemaCompiler& compiler_;
};

class ArrayDomain {
 public:
  using Value = ArrayDnf;
  explicit ArrayDomain(SchemaCompiler& compiler) : compiler_(compiler) {}
  int kId() const { return 6; }
  bool tracks() const { return compiler_.tracks_items(); }
  ArrayDnf True() { return {ArrayClause{}}; }
  ArrayDnf False() { return {}; }
  bool IsFalse(const ArrayDnf& value) { return value.empty(); }
  ArrayDnf And(const std::vector<ArrayDnf>& parts);
  ArrayDnf Or(std::vector<ArrayDnf> parts);
  ArrayDnf Const(const SchemaValue& value, bool positive);
  ArrayDnf Type(const std::string& name, Draft, bool positive) {
    return (name == "array") == positive ? True() : False();
  }
  void Keyword(const SchemaValue& schema, uint32_t scope, const std::string& name,
               const SchemaValue& value, bool positive, std::vector<ArrayDnf>* parts);
  void Finish(const SchemaValue& schema, uint32_t scope, bool positive, ArrayDnf* value);
  bool Finishes(const SchemaValue& schema) const;
  void Forget(ArrayDnf* value) {
    for (ArrayClause& clause : *value) {
      clause.evaluated_end = 0;
      clause.evaluated_if.clear();
    }
  }

 private:
  bool Merge(ArrayClause* into, const ArrayClause& from);
  void AddItems(uint32_t first, uint32_t last, Literal literal, bool positive, ArrayClause* all,
                std::vector<ArrayDnf>* parts);
  void Contains(const SchemaValue& schema, uint32_t scope, const SchemaValue& value, bool positive,
                std::vector<ArrayDnf>* parts);

  SchemaCompiler& compiler_;
};

}  // namespace retort::grammar
