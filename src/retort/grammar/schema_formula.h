#pragma once

// The one recursion over a schema's keywords: see SchemaCompiler. A domain D has
//   Value                                  what a formula denotes
//   kId                                    tells domains apart
//   True(), False(), And(v), Or(v)
//   Const(value, positive), Type(name, draft, positive)
//   Keyword(schema, scope, name, value, positive, parts)   keywords of this domain alone
//   Finish(schema, scope, positive, value) after all others: unevaluated*, or its negation
//   Finishes(schema)                       whether it has such a keyword
//   Forget(value)                          what is evaluated: negations tell nothing of it
//   tracks()                               whether it matters which alternatives of anyOf hold

#include "retort/base/error.h"
#include "retort/grammar/schema_compiler.h"

namespace retort::grammar {

template <typename D>
typename D::Value Formula(SchemaCompiler& compiler, D& domain, Literal literal);

template <typename D>
typename D::Value FormulaAll(SchemaCompiler& compiler, D& domain, const Literals& literals) {
  std::vector<typename D::Value> parts;
  for (const Literal literal : literals) parts.push_back(Formula(compiler, domain, literal));
  return domain.And(std::move(parts));
}

template <typename D>
class KeywordWalk {
 public:
  using Value = typename D::Value;
  KeywordWalk(SchemaCompiler& compiler, D& domain, const SchemaValue& schema, uint32_t scope,
              bool positive)
      : compiler_(compiler), domain_(domain), schema_(schema), scope_(scope), positive_(positive) {}

  Value Run() {
    const bool only_ref =
        compiler_.resolver().DraftOf(schema_) <= Draft::k7 && schema_.Find("$ref") != nullptr;
    // "properties" first: its order is the declared one, before that of any applicator.
    const SchemaValue* properties = only_ref ? nullptr : schema_.Find("properties");
    if (properties != nullptr) Visit("properties", *properties);
    for (const auto& [name, value] : schema_.members) {
      if ((only_ref && name != "$ref") || value == properties) continue;
      Visit(name, *value);
    }
    if (positive_) {
      Value all = domain_.And(std::move(parts_));
      if (!only_ref) domain_.Finish(schema_, scope_, true, &all);
      return all;
    }
    Value any = domain_.Or(std::move(parts_));
    if (!only_ref && domain_.Finishes(schema_)) {
      // All else holds, and what is left unevaluated is not as it should be.
      KeywordWalk rest(compiler_, domain_, schema_, scope_, true);
      Value all = rest.RunWithoutFinish();
      domain_.Finish(schema_, scope_, false, &all);
      any = domain_.Or({std::move(any), std::move(all)});
    }
    return any;
  }

  Value RunWithoutFinish() {
    for (const auto& [name, value] : schema_.members) Visit(name, *value);
    return domain_.And(std::move(parts_));
  }

 private:
  Literal Sub(const SchemaValue& schema, bool positive) {
    return compiler_.LiteralOf(schema, scope_, positive);
  }
  Value Of(const SchemaValue& schema, bool positive) {
    return Formula(compiler_, domain_, Sub(schema, positive));
  }

  void Visit(const std::string& name, const SchemaValue& value) {
    if (name == "$ref" || name == "$dynamicRef" || name == "$recursiveRef") {
      const SchemaValue* target = compiler_.ResolveReference(schema_, name, value, scope_);
      if (target != nullptr) parts_.push_back(Of(*target, positive_));
    } else if (name == "allOf") {
      for (const SchemaValue* item : List(name, value)) parts_.push_back(Of(*item, positive_));
    } else if (name == "anyOf") {
      AnyOf(List(name, value));
    } else if (name == "oneOf") {
      OneOf(List(name, value));
    } else if (name == "not") {
      parts_.push_back(Of(value, !positive_));
    } else if (name == "if") {
      IfThenElse(value);
    } else if (name == "type") {
      Type(value);
    } else if (name == "enum") {
      std::vector<Value> values;
      for (const SchemaValue* item : value.items) values.push_back(domain_.Const(*item, positive_));
      parts_.push_back(positive_ ? domain_.Or(std::move(values)) : domain_.And(std::move(values)));
    } else if (name == "const" && compiler_.resolver().DraftOf(schema_) != Draft::k4) {
      parts_.push_back(domain_.Const(value, positive_));
    } else {
      domain_.Keyword(schema_, scope_, name, value, positive_, &parts_);
    }
  }

  const std::vector<const SchemaValue*>& List(const std::string& name, const SchemaValue& value) {
    if (!value.is_array() || value.items.empty()) {
      compiler_.Invalid(schema_, name, "a list of at least one schema is expected");
    }
    return value.items;
  }

  void AnyOf(const std::vector<const SchemaValue*>& items) {
    std::vector<Value> values;
    if (!positive_ || !domain_.tracks()) {
      for (const SchemaValue* item : items) values.push_back(Of(*item, positive_));
      parts_.push_back(positive_ ? domain_.Or(std::move(values)) : domain_.And(std::move(values)));
      return;
    }
    // Each alternative that holds counts for what is evaluated.
    constexpr size_t kTrackedMax = 6;
    if (items.size() > kTrackedMax) {
      compiler_.Refuse(schema_, "anyOf",
                       "more than 6 alternatives beside unevaluatedProperties or unevaluatedItems");
    }
    std::vector<Value> others;
    for (const SchemaValue* item : items) {
      values.push_back(Of(*item, true));
      others.push_back(Of(*item, false));
    }
    std::vector<Value> subsets;
    for (size_t bits = 1; bits < size_t{1} << values.size(); ++bits) {
      std::vector<Value> chosen;
      for (size_t i = 0; i < values.size(); ++i) {
        chosen.push_back(bits >> i & 1 ? values[i] : others[i]);
      }
      subsets.push_back(domain_.And(std::move(chosen)));
    }
    parts_.push_back(domain_.Or(std::move(subsets)));
  }

  void OneOf(const std::vector<const SchemaValue*>& items) {
    const size_t n = items.size();
    std::vector<Value> yes;
    for (const SchemaValue* item : items) yes.push_back(Of(*item, true));
    // Alternatives that cannot hold together need no negation.
    std::vector<std::vector<bool>> overlap(n, std::vector<bool>(n, false));
    std::vector<Value> both;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = i + 1; j < n; ++j) {
        Value pair = domain_.And({yes[i], yes[j]});
        if (domain_.IsFalse(pair)) continue;
        overlap[i][j] = overlap[j][i] = true;
        if (!positive_) both.push_back(std::move(pair));
      }
    }
    if (!positive_) {
      std::vector<Value> none;
      for (const SchemaValue* item : items) none.push_back(Of(*item, false));
      both.push_back(domain_.And(std::move(none)));
      parts_.push_back(domain_.Or(std::move(both)));
      return;
    }
    std::vector<Value> ways;
    for (size_t i = 0; i < n; ++i) {
      std::vector<Value> way{yes[i]};
      for (size_t j = 0; j < n; ++j) {
        if (overlap[i][j] && !domain_.IsFalse(way[0])) way.push_back(Of(*items[j], false));
      }
      ways.push_back(domain_.And(std::move(way)));
    }
    parts_.push_back(domain_.Or(std::move(ways)));
  }

  void IfThenElse(const SchemaValue& condition) {
    if (compiler_.resolver().DraftOf(schema_) < Draft::k7) return;
    if (condition.type != SchemaValue::Type::kBool && !condition.is_object()) {
      compiler_.Invalid(schema_, "if", "a schema is expected");
    }
    const SchemaValue* then_schema = schema_.Find("then");
    const SchemaValue* else_schema = schema_.Find("else");
    if (then_schema == nullptr && else_schema == nullptr && !domain_.tracks()) return;
    std::vector<Value> yes{Of(condition, true)};
    if (then_schema != nullptr) yes.push_back(Of(*then_schema, positive_));
    std::vector<Value> no{Of(condition, false)};
    if (else_schema != nullptr) no.push_back(Of(*else_schema, positive_));
    std::vector<Value> ways;
    if (positive_ || then_schema != nullptr) ways.push_back(domain_.And(std::move(yes)));
    if (positive_ || else_schema != nullptr) ways.push_back(domain_.And(std::move(no)));
    parts_.push_back(domain_.Or(std::move(ways)));
  }

  void Type(const SchemaValue& value) {
    std::vector<Value> values;
    const Draft draft = compiler_.resolver().DraftOf(schema_);
    const auto add = [&](const SchemaValue& name) {
      static const std::set<std::string> known = {"null",   "boolean", "integer", "number",
                                                  "string", "array",   "object"};
      if (!name.is_string() || !known.contains(name.text)) {
        compiler_.Invalid(schema_, "type",
                          "null, boolean, integer, number, string, array or object is expected" +
                              (name.is_string() ? ", not '" + name.text + "'" : ""));
      }
      values.push_back(domain_.Type(name.text, draft, positive_));
    };
    if (value.is_array()) {
      for (const SchemaValue* item : value.items) add(*item);
    } else {
      add(value);
    }
    parts_.push_back(positive_ ? domain_.Or(std::move(values)) : domain_.And(std::move(values)));
  }

  SchemaCompiler& compiler_;
  D& domain_;
  const SchemaValue& schema_;
  uint32_t scope_;
  bool positive_;
  std::vector<Value> parts_;
};

template <typename D>
typename D::Value Formula(SchemaCompiler& compiler, D& domain, Literal literal) {
  const SchemaCompiler::LiteralInfo info = compiler.InfoOf(literal);
  const bool positive = (literal & 1) == 0;
  compiler.Spend(1, *info.value);
  using Kind = SchemaCompiler::LiteralInfo::Kind;
  if (info.kind == Kind::kConst) return domain.Const(*info.value, positive);
  if (info.kind == Kind::kEither) {
    typename D::Value a = Formula(compiler, domain, positive ? info.a : info.a ^ 1);
    typename D::Value b = Formula(compiler, domain, positive ? info.b : info.b ^ 1);
    return positive ? domain.Or({a, b}) : domain.And({a, b});
  }
  if (info.value->type == SchemaValue::Type::kBool) {
    return info.value->boolean == positive ? domain.True() : domain.False();
  }
  if (!info.value->is_object()) {
    Throw(ErrorCode::kInvalid, "{}: a schema is an object or a boolean",
          compiler.resolver().Where(*info.value));
  }
  auto& active = compiler.active();
  for (const auto& [other, id] : active) {
    if (other == literal && id == domain.kId()) {
      Throw(ErrorCode::kInvalid, "{}: '$ref': refers to itself without an object or array between",
            compiler.resolver().Where(*info.value));
    }
  }
  if (active.size() > static_cast<size_t>(compiler.options().limits.depth_max)) {
    Throw(ErrorCode::kExhausted, "{}: references and applicators nest deeper than {}",
          compiler.resolver().Where(*info.value), compiler.options().limits.depth_max);
  }
  active.emplace_back(literal, domain.kId());
  struct Leave {
    std::vector<std::pair<Literal, int>>* active;
    ~Leave() { active->pop_back(); }
  } leave{&active};
  auto value = KeywordWalk<D>(compiler, domain, *info.value, info.scope, positive).Run();
  if (!positive) domain.Forget(&value);
  return value;
}

}  // namespace retort::grammar
