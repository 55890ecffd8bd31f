#include "retort/grammar/grammar_ir.h"

#include "retort/base/error.h"

namespace retort::grammar {
namespace {

// Every language that `ir` names, in one order for reading and writing.
template <typename Ir, typename Visit>
void VisitLanguages(Ir* ir, size_t first_value, size_t first_object, size_t first_symbol,
                    Visit visit) {
  for (size_t i = first_value; i < ir->values.size(); ++i) {
    visit(ir->values[i].scalars);
    visit(ir->values[i].strings);
  }
  for (size_t i = first_object; i < ir->objects.size(); ++i) {
    for (auto& key_class : ir->objects[i].classes) visit(key_class.keys);
  }
  for (size_t i = first_symbol; i < ir->symbols.size(); ++i) {
    auto& symbol = ir->symbols[i];
    if (symbol.kind == Symbol::Kind::kBytes || symbol.kind == Symbol::Kind::kText) {
      visit(symbol.value);
    }
  }
}

void Shift(std::vector<ValueOption>* options, uint32_t by) {
  for (ValueOption& option : *options) option.node += by;
}

}  // namespace

void NumberNodes(GrammarIr* ir) {
  const auto num_values = static_cast<uint32_t>(ir->values.size());
  for (Symbol& symbol : ir->symbols) {
    if (symbol.kind != Symbol::Kind::kNode) continue;
    symbol.value = symbol.value & kValueBit ? symbol.value & ~kValueBit : symbol.value + num_values;
  }
}

uint32_t CopyGrammar(const GrammarIr& from, GrammarIr* to) {
  if (to->rules.size() + from.rules.size() > to->limits.schema_nodes_max ||
      to->values.size() + from.values.size() > to->limits.schema_nodes_max) {
    Throw(ErrorCode::kExhausted, "the grammars together have more than {} rules or values",
          to->limits.schema_nodes_max);
  }
  std::vector<Regex> languages;
  VisitLanguages(&from, 0, 0, 0, [&](Regex r) { languages.push_back(r); });
  const std::vector<Regex> copies = to->pool.Copy(from.pool, languages);

  const auto value_begin = static_cast<uint32_t>(to->values.size());
  const auto object_begin = static_cast<uint32_t>(to->objects.size());
  const auto array_begin = static_cast<uint32_t>(to->arrays.size());
  const auto rule_begin = static_cast<uint32_t>(to->rules.size());
  const auto symbol_begin = static_cast<uint32_t>(to->symbols.size());
  const auto num_values = static_cast<uint32_t>(from.values.size());
  for (ValueNode value : from.values) {
    for (uint32_t& object : value.objects) object += object_begin;
    for (uint32_t& array : value.arrays) array += array_begin;
    to->values.push_back(std::move(value));
  }
  for (ObjectShape shape : from.objects) {
    for (auto& property : shape.properties) Shift(&property.options, value_begin);
    for (auto& key_class : shape.classes) Shift(&key_class.options, value_begin);
    to->objects.push_back(std::move(shape));
  }
  for (ArrayShape shape : from.arrays) {
    for (auto& options : shape.prefix) Shift(&options, value_begin);
    Shift(&shape.rest, value_begin);
    to->arrays.push_back(std::move(shape));
  }
  for (Rule rule : from.rules) {
    for (uint32_t& at : rule.alternatives) at += symbol_begin;
    to->rules.push_back(std::move(rule));
  }
  for (Symbol symbol : from.symbols) {
    if (symbol.kind == Symbol::Kind::kNode) {
      symbol.value = symbol.value < num_values ? (symbol.value + value_begin) | kValueBit
                                               : symbol.value - num_values + rule_begin;
    }
    to->symbols.push_back(symbol);
  }
  size_t i = 0;
  VisitLanguages(to, value_begin, object_begin, symbol_begin, [&](Regex& r) { r = copies[i++]; });
  return from.root_is_rule ? from.root + rule_begin : (from.root + value_begin) | kValueBit;
}

}  // namespace retort::grammar
