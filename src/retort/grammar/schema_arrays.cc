#include <algorithm>

#include "retort/grammar/schema_containers.h"
#include "retort/grammar/schema_formula.h"

namespace retort::grammar {

bool ArrayDomain::Merge(ArrayClause* into, const ArrayClause& from) {
  into->items.insert(into->items.end(), from.items.begin(), from.items.end());
  into->counters.insert(into->counters.end(), from.counters.begin(), from.counters.end());
  into->min = std::max(into->min, from.min);
  into->max = std::min(into->max, from.max);
  if (from.unique && !into->unique) {
    into->unique = true;
    into->unique_at = from.unique_at;
  }
  into->evaluated_end = std::max(into->evaluated_end, from.evaluated_end);
  into->evaluated_if.insert(into->evaluated_if.end(), from.evaluated_if.begin(),
                            from.evaluated_if.end());
  if (into->min > into->max) return false;
  // Items that must be there must be possible.
  const uint32_t must = std::min<uint32_t>(into->min, 8);
  for (uint32_t i = 0; i < must; ++i) {
    Literals all;
    for (const auto& items : into->items) {
      if (items.first <= i && i <= items.last) all.push_back(items.literal);
    }
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    if (!all.empty() && compiler_.SurelyEmpty(all)) return false;
  }
  return true;
}

ArrayDnf ArrayDomain::And(const std::vector<ArrayDnf>& parts) {
  ArrayDnf result = True();
  for (const ArrayDnf& part : parts) {
    if (part.empty()) return {};
    ArrayDnf next;
    for (const ArrayClause& a : result) {
      for (const ArrayClause& b : part) {
        ArrayClause clause = a;
        compiler_.Spend(4 + b.items.size(), *compiler_.resolver().root());
        if (Merge(&clause, b)) next.push_back(std::move(clause));
        if (next.size() > compiler_.options().limits.schema_disjuncts_max) {
          compiler_.TooMuch(fmt::format("an array's alternatives multiply beyond {}",
                                        compiler_.options().limits.schema_disjuncts_max));
        }
      }
    }
    result = std::move(next);
  }
  return result;
}

ArrayDnf ArrayDomain::Or(std::vector<ArrayDnf> parts) {
  ArrayDnf result;
  for (ArrayDnf& part : parts) {
    for (ArrayClause& clause : part) result.push_back(std::move(clause));
  }
  if (result.size() > compiler_.options().limits.schema_disjuncts_max) {
    compiler_.TooMuch(fmt::format("an array has more than {} alternatives",
                                  compiler_.options().limits.schema_disjuncts_max));
  }
  const auto trivial = [](const ArrayClause& c) {
    return c.items.empty() && c.counters.empty() && c.min == 0 && c.max == kUnbounded && !c.unique;
  };
  if (!tracks() && std::any_of(result.begin(), result.end(), trivial)) return True();
  return result;
}

ArrayDnf ArrayDomain::Const(const SchemaValue& value, bool positive) {
  if (!value.is_array()) return positive ? False() : True();
  const auto size = static_cast<uint32_t>(value.items.size());
  if (positive) {
    ArrayClause clause;
    for (uint32_t i = 0; i < size; ++i) {
      clause.items.push_back({i, i, compiler_.ConstLiteral(*value.items[i], true)});
    }
    clause.min = clause.max = size;
    return {std::move(clause)};
  }
  ArrayDnf ways;
  if (size > 0) {
    ArrayClause fewer;
    fewer.max = size - 1;
    ways.push_back(std::move(fewer));
  }
  ArrayClause more;
  more.min = size + 1;
  ways.push_back(std::move(more));
  for (uint32_t i = 0; i < size; ++i) {
    ArrayClause other;
    other.min = i + 1;
    other.items.push_back({i, i, compiler_.ConstLiteral(*value.items[i], false)});
    ways.push_back(std::move(other));
  }
  return ways;
}

void ArrayDomain::AddItems(uint32_t first, uint32_t last, Literal literal, bool positive,
                           ArrayClause* all, std::vector<ArrayDnf>* parts) {
  if (positive) {
    all->items.push_back({first, last, literal});
    all->evaluated_end = last == kUnbounded ? kUnbounded : std::max(all->evaluated_end, last + 1);
    return;
  }
  ArrayClause other;
  if (first == last) {
    other.min = first + 1;
    other.items.push_back({first, first, literal ^ 1});
  } else {
    other.counters.push_back({first, last, literal ^ 1, 1, kUnbounded});
  }
  parts->push_back({std::move(other)});
}

void ArrayDomain::Keyword(const SchemaValue& schema, uint32_t scope, const std::string& name,
                          const SchemaValue& value, bool positive, std::vector<ArrayDnf>* parts) {
  const Draft draft = compiler_.resolver().DraftOf(schema);
  const auto literal = [&](const SchemaValue& sub) {
    return compiler_.LiteralOf(sub, scope, true);
  };
  ArrayClause all;
  if ((name == "prefixItems" && draft == Draft::k2020) || (name == "items" && value.is_array())) {
    if (!value.is_array()) compiler_.Invalid(schema, name, "a list is expected");
    for (uint32_t i = 0; i < value.items.size(); ++i) {
      AddItems(i, i, literal(*value.items[i]), positive, &all, parts);
    }
    if (positive) parts->push_back({std::move(all)});
  } else if (name == "items") {
    const SchemaValue* prefix = draft == Draft::k2020 ? schema.Find("prefixItems") : nullptr;
    const auto first = prefix == nullptr ? 0 : static_cast<uint32_t>(prefix->items.size());
    AddItems(first, kUnbounded, literal(value), positive, &all, parts);
    if (positive) parts->push_back({std::move(all)});
  } else if (name == "additionalItems") {
    const SchemaValue* items = schema.Find("items");
    if (items == nullptr || !items->is_array()) return;
    AddItems(static_cast<uint32_t>(items->items.size()), kUnbounded, literal(value), positive, &all,
             parts);
    if (positive) parts->push_back({std::move(all)});
  } else if (name == "minItems" || name == "maxItems") {
    const uint32_t count = compiler_.CountOf(schema, name, value);
    if ((name == "minItems") == positive) {
      if (!positive && count == kUnbounded) return;
      all.min = positive ? count : count + 1;
    } else if (positive) {
      all.max = count;
    } else {
      if (count == 0) return;
      all.max = count - 1;
    }
    parts->push_back({std::move(all)});
  } else if (name == "uniqueItems") {
    if (value.type != SchemaValue::Type::kBool) {
      compiler_.Invalid(schema, name, "true or false is expected");
    }
    if (!value.boolean) return;
    if (positive) {
      all.unique = true;
      all.unique_at = &schema;
      parts->push_back({std::move(all)});
    } else {
      compiler_.Refuse(schema, name, "inside 'not', 'if' or an overlapping 'oneOf'");
    }
  } else if (name == "contains" && draft >= Draft::k6) {
    Contains(schema, scope, value, positive, parts);
  }
}

void ArrayDomain::Contains(const SchemaValue& schema, uint32_t scope, const SchemaValue& value,
                           bool positive, std::vector<ArrayDnf>* parts) {
  const Draft draft = compiler_.resolver().DraftOf(schema);
  uint32_t min = 1;
  uint32_t max = kUnbounded;
  if (draft >= Draft::k2019) {
    if (const auto* least = schema.Find("minContains")) {
      min = compiler_.CountOf(schema, "minContains", *least);
    }
    if (const auto* most = schema.Find("maxContains")) {
      max = compiler_.CountOf(schema, "maxContains", *most);
    }
  }
  const Literal literal = compiler_.LiteralOf(value, scope, true);
  const auto between = [&](uint32_t least, uint32_t most) {
    ArrayClause clause;
    if (most == 0) {
      clause.items.push_back({0, kUnbounded, literal ^ 1});
    } else if (least > 0 || most != kUnbounded) {
      clause.counters.push_back({0, kUnbounded, literal, least, most});
      clause.min = least;
    }
    return clause;
  };
  if (positive) {
    if (min > max) {
      parts->push_back({});
      return;
    }
    ArrayClause clause = between(min, max);
    if (draft == Draft::k2020 && tracks()) clause.evaluated_if.push_back(literal);
    parts->push_back({std::move(clause)});
    return;
  }
  ArrayDnf ways;
  if (min > 0) ways.push_back(between(0, min - 1));
  if (max != kUnbounded) ways.push_back(between(max + 1, kUnbounded));
  parts->push_back(std::move(ways));
}

bool ArrayDomain::Finishes(const SchemaValue& schema) const {
  return schema.Find("unevaluatedItems") != nullptr &&
         compiler_.resolver().DraftOf(schema) >= Draft::k2019;
}

void ArrayDomain::Finish(const SchemaValue& schema, uint32_t scope, bool positive,
                         ArrayDnf* value) {
  if (!Finishes(schema)) return;
  const SchemaValue& rest = *schema.Find("unevaluatedItems");
  ArrayDnf good;
  for (ArrayClause& clause : *value) {
    if (clause.evaluated_end == kUnbounded) {
      if (positive) good.push_back(std::move(clause));  // nothing is left over
      continue;
    }
    Literal literal = compiler_.LiteralOf(rest, scope, true);
    for (const Literal either : clause.evaluated_if) {
      literal = compiler_.EitherLiteral(literal, either, schema);
    }
    if (positive) {
      clause.items.push_back({clause.evaluated_end, kUnbounded, literal});
    } else {
      clause.counters.push_back({clause.evaluated_end, kUnbounded, literal ^ 1, 1, kUnbounded});
    }
    clause.evaluated_end = kUnbounded;
    good.push_back(std::move(clause));
  }
  *value = std::move(good);
}

}  // namespace retort::grammar
