#include <algorithm>

#include "retort/grammar/regex_syntax.h"
#include "retort/grammar/schema_containers.h"
#include "retort/grammar/schema_formula.h"

namespace retort::grammar {
namespace {

const SchemaValue& FalseSchema() {
  static const SchemaValue value = [] {
    SchemaValue never;
    never.type = SchemaValue::Type::kBool;
    return never;
  }();
  return value;
}

void Insert(std::vector<std::string>* names, const std::string& name) {
  if (std::find(names->begin(), names->end(), name) == names->end()) names->push_back(name);
}

}  // namespace

Literal ObjectDomain::Never() { return compiler_.LiteralOf(FalseSchema(), 0, true); }

ObjectClause ObjectDomain::WithName(const std::string& name, Literal literal, bool required) {
  ObjectClause clause;
  clause.named.emplace_back(name, Literals{literal});
  if (required) clause.required.push_back(name);
  return clause;
}

ObjectClause ObjectDomain::Without(const std::string& name) {
  return WithName(name, Never(), false);
}

ObjectClause ObjectDomain::Required(const std::vector<std::string>& names) {
  ObjectClause clause;
  clause.required = names;
  return clause;
}

bool ObjectDomain::Merge(ObjectClause* into, const ObjectClause& from, bool look_closely) {
  // Before the index, whose views a growing vector would leave behind.
  into->named.reserve(into->named.size() + from.named.size());
  std::unordered_map<std::string_view, size_t> index;
  if (into->named.size() > 8) {
    for (size_t i = 0; i < into->named.size(); ++i) index.emplace(into->named[i].first, i);
  }
  const size_t num_before = into->named.size();
  for (const auto& [name, literals] : from.named) {
    size_t at = num_before;
    if (!index.empty()) {
      const auto it = index.find(name);
      if (it != index.end()) at = it->second;
    } else {
      for (at = 0; at < num_before && into->named[at].first != name; ++at) {
      }
    }
    if (at == num_before) {
      into->named.emplace_back(name, literals);
      continue;
    }
    Literals& known = into->named[at].second;
    known.insert(known.end(), literals.begin(), literals.end());
    std::sort(known.begin(), known.end());
    known.erase(std::unique(known.begin(), known.end()), known.end());
  }
  into->sets.insert(into->sets.end(), from.sets.begin(), from.sets.end());
  into->owed.insert(into->owed.end(), from.owed.begin(), from.owed.end());
  for (const std::string& name : from.required) Insert(&into->required, name);
  into->min = std::max(into->min, from.min);
  into->max = std::min(into->max, from.max);
  into->evaluated.insert(into->evaluated.end(), from.evaluated.begin(), from.evaluated.end());
  return Possible(*into, look_closely);
}

// False if the clause certainly cannot be met.
bool ObjectDomain::Possible(const ObjectClause& clause, bool look_closely) {
  if (clause.min > clause.max || clause.required.size() > clause.max) return false;
  for (const std::string& name : clause.required) {
    Literals all;
    for (const auto& [known, literals] : clause.named) {
      if (known == name) all.insert(all.end(), literals.begin(), literals.end());
    }
    for (const auto& [set, literal] : clause.sets) {
      if (std::find(all.begin(), all.end(), literal) == all.end() &&
          compiler_.Contains(set, name)) {
        all.push_back(literal);
      }
    }
    if (all.empty()) continue;
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    const Literal never = Never();
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i] == never || (i + 1 < all.size() && (all[i] ^ 1) == all[i + 1])) return false;
    }
    if (look_closely && compiler_.SurelyEmpty(all)) return false;
  }
  return true;
}

ObjectDnf ObjectDomain::And(const std::vector<ObjectDnf>& parts) {
  ObjectDnf result = True();
  for (const ObjectDnf& part : parts) {
    if (part.empty()) return {};
    ObjectDnf next;
    const bool choice = result.size() > 1 || part.size() > 1;
    for (const ObjectClause& a : result) {
      for (const ObjectClause& b : part) {
        ObjectClause clause = a;
        compiler_.Spend(4 + b.named.size() + b.sets.size(), *compiler_.resolver().root());
        if (Merge(&clause, b, choice || parts.size() == 2)) next.push_back(std::move(clause));
        if (next.size() > compiler_.options().limits.schema_disjuncts_max) {
          compiler_.TooMuch(fmt::format("an object's alternatives multiply beyond {}",
                                        compiler_.options().limits.schema_disjuncts_max));
        }
      }
    }
    result = std::move(next);
  }
  return result;
}

ObjectDnf ObjectDomain::Or(std::vector<ObjectDnf> parts) {
  ObjectDnf result;
  for (ObjectDnf& part : parts) {
    for (ObjectClause& clause : part) result.push_back(std::move(clause));
  }
  if (result.size() > compiler_.options().limits.schema_disjuncts_max) {
    compiler_.TooMuch(fmt::format("an object has more than {} alternatives",
                                  compiler_.options().limits.schema_disjuncts_max));
  }
  // Alternatives that say nothing are one.
  const auto trivial = [](const ObjectClause& c) {
    return c.named.empty() && c.sets.empty() && c.owed.empty() && c.required.empty() &&
           c.min == 0 && c.max == kUnbounded;
  };
  if (!tracks() && std::any_of(result.begin(), result.end(), trivial)) return True();
  return result;
}

ObjectDnf ObjectDomain::Const(const SchemaValue& value, bool positive) {
  if (!value.is_object()) return positive ? False() : True();
  if (positive) {
    ObjectClause clause;
    for (const auto& [name, member] : value.members) {
      clause.named.emplace_back(name, Literals{compiler_.ConstLiteral(*member, true)});
      clause.required.push_back(name);
    }
    clause.max = clause.min = static_cast<uint32_t>(value.members.size());
    return {std::move(clause)};
  }
  ObjectDnf ways;
  for (const auto& [name, member] : value.members) {
    ways.push_back(Without(name));
    ways.push_back(WithName(name, compiler_.ConstLiteral(*member, false), true));
  }
  ObjectClause more;
  more.min = static_cast<uint32_t>(value.members.size()) + 1;
  ways.push_back(std::move(more));
  return ways;
}

KeySet::Atom ObjectDomain::AdditionalOf(const SchemaValue& schema) {
  KeySet::Atom atom;
  atom.complement = true;
  auto names = std::make_shared<std::set<std::string>>();
  if (const SchemaValue* properties = schema.Find("properties")) {
    for (const auto& [name, sub] : properties->members) names->insert(name);
  }
  if (const SchemaValue* patterns = schema.Find("patternProperties")) {
    for (const auto& [pattern, sub] : patterns->members) {
      atom.patterns.push_back(compiler_.PatternOf(schema, "patternProperties", pattern));
    }
  }
  atom.names = std::move(names);
  return atom;
}

void ObjectDomain::Keyword(const SchemaValue& schema, uint32_t scope, const std::string& name,
                           const SchemaValue& value, bool positive, std::vector<ObjectDnf>* parts) {
  const Draft draft = compiler_.resolver().DraftOf(schema);
  const auto literal = [&](const SchemaValue& sub, bool sign) {
    return compiler_.LiteralOf(sub, scope, sign);
  };
  const auto object = [&] {
    if (!value.is_object()) compiler_.Invalid(schema, name, "an object is expected");
  };
  const auto each_in = [&](KeySet set, Literal then) {
    ObjectClause clause;
    if (positive) {
      if (tracks()) clause.evaluated = set.atoms;
      clause.sets.emplace_back(std::move(set), then);
    } else {
      clause.owed.emplace_back(std::move(set), Literals{then ^ 1});
    }
    parts->push_back({std::move(clause)});
  };
  if (name == "properties") {
    object();
    ObjectClause all;
    auto names = std::make_shared<std::set<std::string>>();
    for (const auto& [key, sub] : value.members) {
      names->insert(key);
      if (positive) {
        all.named.emplace_back(key, Literals{literal(*sub, true)});
      } else {
        parts->push_back({WithName(key, literal(*sub, false), true)});
      }
    }
    if (!positive) return;
    if (tracks()) all.evaluated.push_back({std::move(names), {}, false});
    parts->push_back({std::move(all)});
  } else if (name == "required" && value.is_array()) {
    std::vector<std::string> names;
    for (const SchemaValue* item : value.items) {
      if (!item->is_string()) compiler_.Invalid(schema, name, "a list of strings is expected");
      names.push_back(item->text);
    }
    if (positive) {
      std::vector<std::string> unique;
      for (const std::string& key : names) Insert(&unique, key);
      parts->push_back({Required(unique)});
    } else {
      for (const std::string& key : names) parts->push_back({Without(key)});
    }
  } else if (name == "patternProperties") {
    object();
    for (const auto& [pattern, sub] : value.members) {
      KeySet::Atom atom{nullptr, {compiler_.PatternOf(schema, name, pattern)}, false};
      each_in(KeySet{{atom}, false}, literal(*sub, true));
    }
  } else if (name == "additionalProperties") {
    each_in(KeySet{{AdditionalOf(schema)}, false}, literal(value, true));
  } else if (name == "propertyNames" && draft >= Draft::k6) {
    const Regex good = compiler_.StringsOf({literal(value, true)});
    ObjectClause clause;
    const KeySet set{{{nullptr, {good}, true}}, false};
    if (positive) {
      clause.sets.emplace_back(set, Never());
    } else {
      clause.owed.emplace_back(set, Literals{});
    }
    parts->push_back({std::move(clause)});
  } else if (name == "minProperties" || name == "maxProperties") {
    const uint32_t count = compiler_.CountOf(schema, name, value);
    ObjectClause clause;
    if ((name == "minProperties") == positive) {
      if (!positive && count == kUnbounded) return;
      clause.min = positive ? count : count + 1;
    } else if (positive) {
      clause.max = count;
    } else {
      if (count == 0) return;
      clause.max = count - 1;
    }
    parts->push_back({std::move(clause)});
  } else if (name == "dependencies" || (draft >= Draft::k2019 && (name == "dependentRequired" ||
                                                                  name == "dependentSchemas"))) {
    object();
    if (name == "dependencies" && draft >= Draft::k2019) return;
    Dependent(schema, scope, name, value, positive, parts);
  }
}

void ObjectDomain::Dependent(const SchemaValue& schema, uint32_t scope, const std::string& keyword,
                             const SchemaValue& value, bool positive,
                             std::vector<ObjectDnf>* parts) {
  for (const auto& [name, need] : value.members) {
    std::vector<std::string> names;
    const bool is_list = need->is_array() || need->is_string();  // draft 3 wrote one as a string
    if (need->is_string()) names.push_back(need->text);
    for (const SchemaValue* item : need->items) {
      if (!item->is_string()) compiler_.Invalid(schema, keyword, "a list of strings is expected");
      names.push_back(item->text);
    }
    if (is_list && names.empty()) continue;
    if (positive) {
      ObjectDnf then{Required({name})};
      then = is_list
                 ? And({then, {Required(names)}})
                 : And({then, Formula(compiler_, *this, compiler_.LiteralOf(*need, scope, true))});
      parts->push_back(Or({{Without(name)}, std::move(then)}));
      continue;
    }
    ObjectDnf broken;
    if (is_list) {
      for (const std::string& other : names) broken.push_back(Without(other));
    } else {
      broken = Formula(compiler_, *this, compiler_.LiteralOf(*need, scope, false));
    }
    parts->push_back(And({{Required({name})}, std::move(broken)}));
  }
}

bool ObjectDomain::Finishes(const SchemaValue& schema) const {
  return schema.Find("unevaluatedProperties") != nullptr &&
         compiler_.resolver().DraftOf(schema) >= Draft::k2019;
}

void ObjectDomain::Finish(const SchemaValue& schema, uint32_t scope, bool positive,
                          ObjectDnf* value) {
  if (!Finishes(schema)) return;
  const SchemaValue& rest = *schema.Find("unevaluatedProperties");
  const Literal literal = compiler_.LiteralOf(rest, scope, positive);
  ObjectDnf good;
  for (ObjectClause& clause : *value) {
    const KeySet unevaluated{clause.evaluated, true};
    if (positive) {
      clause.sets.emplace_back(unevaluated, literal);
    } else {
      clause.owed.emplace_back(unevaluated, Literals{literal});
    }
    clause.evaluated = {{nullptr, {}, true}};  // all of them now
    if (Possible(clause, false)) good.push_back(std::move(clause));
  }
  *value = std::move(good);
}

}  // namespace retort::grammar
