#include "retort/grammar/schema_compiler.h"

#include <algorithm>

#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/grammar/json_number.h"
#include "retort/grammar/regex_syntax.h"
#include "retort/grammar/schema_containers.h"
#include "retort/grammar/schema_formula.h"
#include "retort/grammar/schema_keywords.h"
#include "retort/grammar/schema_scalars.h"
#include "retort/grammar/utf8_text.h"

namespace retort::grammar {
namespace {

Draft DraftNumbered(int number) {
  switch (number) {
    case 4:
      return Draft::k4;
    case 6:
      return Draft::k6;
    case 7:
      return Draft::k7;
    case 2019:
      return Draft::k2019;
    case 2020:
      return Draft::k2020;
    default:
      Throw(ErrorCode::kInvalid, "default_draft: 4, 6, 7, 2019 or 2020, not {}", number);
  }
}

// "" if a draft defines it.
std::string UnknownFormat(const SchemaValue& value) {
  if (!value.is_string()) return "'format' is a string: it constrains nothing";
  const auto names = FormatNames();
  if (std::find(names.begin(), names.end(), value.text) != names.end()) return "";
  const std::string nearest = NearestName(value.text, names);
  return "format '" + value.text + "' is defined by no draft: it constrains nothing" +
         (nearest.empty() ? "" : " (did you mean '" + nearest + "'?)");
}

}  // namespace

SchemaCompiler::SchemaCompiler(std::string_view schema, const JsonSchemaOptions& options)
    : options_(options),
      ir_(std::make_shared<GrammarIr>(options.limits)),
      resolver_(std::make_shared<SchemaResolver>(schema, options_.remotes, options_.limits,
                                                 DraftNumbered(options.default_draft))),
      root_(resolver_->root()) {
  Begin();
}

SchemaCompiler::SchemaCompiler(const SchemaCompiler& whole, const SchemaValue& part)
    : options_(whole.options_),
      ir_(std::make_shared<GrammarIr>(options_.limits)),
      resolver_(whole.resolver_),
      root_(&part),
      looked_at_(whole.looked_at_) {
  Begin();
}

void SchemaCompiler::Begin() {
  scopes_.emplace_back();
  tracks_properties_ = resolver_->uses_keyword("unevaluatedProperties");
  tracks_items_ = resolver_->uses_keyword("unevaluatedItems");
}

void SchemaCompiler::Spend(size_t steps, const SchemaValue& at) {
  steps_ += steps;
  if (steps_ > options_.limits.schema_steps_max) {
    Throw(ErrorCode::kExhausted, "{}: takes more than {} steps to bring to normal form",
          resolver_->Where(at), options_.limits.schema_steps_max);
  }
  if (pool().num_nodes() > options_.limits.schema_regex_nodes_max) {
    Throw(ErrorCode::kExhausted, "{}: its patterns need more than {} states to compare",
          resolver_->Where(at), options_.limits.schema_regex_nodes_max);
  }
}

void SchemaCompiler::TooMuch(const std::string& why) const {
  const SchemaValue* at = root_;
  if (!active_.empty()) {
    at = literals_[active_.back().first >> 1].value;
  } else if (expanding_ != kNoNode && !node_literals_[expanding_].empty()) {
    at = literals_[node_literals_[expanding_].front() >> 1].value;
  }
  Throw(ErrorCode::kExhausted, "{}: {}", resolver_->Where(*at), why);
}

void SchemaCompiler::Refuse(const SchemaValue& schema, std::string_view keyword,
                            const std::string& why) {
  const std::string text = PointerTo(schema) + ": '" + std::string(keyword) + "': " + why;
  if (!options_.lenient) {
    Throw(ErrorCode::kUnsupported,
          "{}: '{}': {} (cannot be enforced exactly: leave it out, or compile leniently)",
          resolver_->Where(schema, keyword), keyword, why);
  }
  if (noted_.insert(text).second) report_.ignored.push_back(text);
}

void SchemaCompiler::Invalid(const SchemaValue& schema, std::string_view keyword,
                             const std::string& why) {
  Throw(ErrorCode::kInvalid, "{}: '{}': {}", resolver_->Where(schema, keyword), keyword, why);
}

void SchemaCompiler::Warn(const SchemaValue& schema, const std::string& text) {
  const std::string warning = PointerTo(schema) + ": " + text;
  if (noted_.insert(warning).second) report_.warnings.push_back(warning);
}

Literal SchemaCompiler::LiteralOf(const SchemaValue& schema, uint32_t scope, bool positive) {
  if (resolver_->has_dynamic_anchors()) {
    // Entering a resource binds the dynamic anchors that nothing outside has bound yet.
    auto names = scopes_[scope];
    for (const auto& [name, value] : resolver_->DynamicAnchors(schema)) names.emplace(name, value);
    const auto it = std::find(scopes_.begin(), scopes_.end(), names);
    scope = static_cast<uint32_t>(it - scopes_.begin());
    if (it == scopes_.end()) scopes_.push_back(std::move(names));
  }
  const auto [it, is_new] =
      literal_index_.try_emplace({&schema, scope, 0}, static_cast<Literal>(literals_.size() * 2));
  if (is_new) literals_.push_back({&schema, scope, LiteralInfo::Kind::kSchema, 0, 0});
  return it->second | (positive ? 0 : 1);
}

Literal SchemaCompiler::ConstLiteral(const SchemaValue& value, bool positive) {
  const auto [it, is_new] =
      literal_index_.try_emplace({&value, 0, 1}, static_cast<Literal>(literals_.size() * 2));
  if (is_new) literals_.push_back({&value, 0, LiteralInfo::Kind::kConst, 0, 0});
  return it->second | (positive ? 0 : 1);
}

Literal SchemaCompiler::EitherLiteral(Literal a, Literal b, const SchemaValue& at) {
  const auto [it, is_new] =
      either_index_.try_emplace({a, b}, static_cast<Literal>(literals_.size() * 2));
  if (is_new) literals_.push_back({&at, 0, LiteralInfo::Kind::kEither, a, b});
  return it->second;
}

const SchemaValue* SchemaCompiler::ResolveReference(const SchemaValue& schema,
                                                    std::string_view keyword,
                                                    const SchemaValue& reference, uint32_t scope) {
  const Draft draft = resolver_->DraftOf(schema);
  if (keyword == "$dynamicRef" && draft != Draft::k2020) return nullptr;
  if (keyword == "$recursiveRef" && draft != Draft::k2019) return nullptr;
  if (!reference.is_string()) Invalid(schema, keyword, "a string is expected");
  const SchemaValue* target = resolver_->Resolve(schema, reference.text);
  if (keyword == "$ref") return target;
  const std::string anchor = SchemaResolver::AnchorOf(reference.text);
  const auto& own = resolver_->DynamicAnchors(*target);
  const auto it = own.find(anchor);
  if (it == own.end() || it->second != target) return target;
  const auto bound = scopes_[scope].find(anchor);
  return bound == scopes_[scope].end() ? target : bound->second;
}

uint32_t SchemaCompiler::CountOf(const SchemaValue& schema, std::string_view keyword,
                                 const SchemaValue& value) {
  const auto number = value.is_number() ? Decimal::Parse(value.text) : std::nullopt;
  if (!number || number->negative || !number->is_integer()) {
    Invalid(schema, keyword, "a whole number of at least 0 is expected");
  }
  uint64_t count = 0;
  for (const char c : number->digits)
    count = std::min<uint64_t>(count * 10 + (c - '0'), kUnbounded);
  for (int64_t i = 0; i < number->exponent && count < kUnbounded; ++i) {
    count = std::min<uint64_t>(count * 10, kUnbounded);
  }
  if (count < kUnbounded) return static_cast<uint32_t>(count);
  if (keyword.starts_with("min")) {
    Throw(ErrorCode::kExhausted, "{}: '{}': no text is that long",
          resolver_->Where(schema, keyword), keyword);
  }
  return kUnbounded;
}

Regex SchemaCompiler::PatternOf(const SchemaValue& schema, std::string_view keyword,
                                const std::string& pattern) {
  const auto it = patterns_.find(pattern);
  if (it != patterns_.end()) return it->second;
  try {
    const Regex r = ParseRegex(pattern, RegexDialect::kEcma, true, options_.limits, &pool());
    return patterns_[pattern] = r;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kUnsupported) {
      Refuse(schema, keyword, "'" + pattern + "' " + error.message());
      return patterns_[pattern] = kEverything;
    }
    Throw(error.code(), "{}: '{}': '{}' {}", resolver_->Where(schema, keyword), keyword, pattern,
          error.message());
  }
}

Regex SchemaCompiler::StringsOf(const Literals& literals) {
  std::vector<Regex> parts;
  for (const Literal literal : literals) {
    const auto it = string_memo_.find(literal);
    if (it != string_memo_.end()) {
      parts.push_back(it->second);
      continue;
    }
    ScalarDomain domain(*this, ScalarDomain::kString);
    parts.push_back(Formula(*this, domain, literal));
    string_memo_[literal] = parts.back();
  }
  const Regex all = pool().And(parts);
  return pool().IsEmpty(all) ? kNothing : all;
}

Regex SchemaCompiler::NumbersOf(const Literals& literals) {
  std::vector<Regex> parts;
  for (const Literal literal : literals) {
    const auto it = number_memo_.find(literal);
    if (it != number_memo_.end()) {
      parts.push_back(it->second);
      continue;
    }
    ScalarDomain domain(*this, ScalarDomain::kNumber);
    parts.push_back(Formula(*this, domain, literal));
    number_memo_[literal] = parts.back();
  }
  const Regex all = pool().And(parts);
  if (all == kNothing) return kNothing;
  if (all == kEverything) return AnyNumber(&pool());
  const Regex spelt = pool().IsPlain(all) ? all : pool().And(all, SpellableNumber(&pool()));
  return pool().IsEmpty(spelt) ? kNothing : spelt;
}

bool SchemaCompiler::Holds(const Literals& literals, int id) {
  ScalarDomain domain(*this, id);
  for (const Literal literal : literals) {
    if (Formula(*this, domain, literal) == kNothing) return false;
  }
  return true;
}

// The JSON types that a literal may have, as far as is seen at a glance.
uint32_t SchemaCompiler::ClassesOf(Literal literal, int depth) {
  constexpr uint32_t kAll = 63;
  const LiteralInfo info = literals_[literal >> 1];
  const auto class_of = [](const SchemaValue& value) -> uint32_t {
    switch (value.type) {
      case SchemaValue::Type::kNull:
        return kNullClass;
      case SchemaValue::Type::kBool:
        return kBoolClass;
      case SchemaValue::Type::kNumber:
        return kNumberClass;
      case SchemaValue::Type::kString:
        return kStringClass;
      case SchemaValue::Type::kArray:
        return kArrayClass;
      default:
        return kObjectClass;
    }
  };
  const bool positive = (literal & 1) == 0;
  if (info.kind == LiteralInfo::Kind::kEither || depth > 8) return kAll;
  if (info.kind == LiteralInfo::Kind::kConst) return positive ? class_of(*info.value) : kAll;
  const SchemaValue& schema = *info.value;
  if (schema.type == SchemaValue::Type::kBool) return schema.boolean == positive ? kAll : 0;
  if (!positive || !schema.is_object()) return kAll;
  uint32_t classes = kAll;
  const bool only_ref = resolver_->DraftOf(schema) <= Draft::k7 && schema.Find("$ref") != nullptr;
  for (const auto& [name, value] : schema.members) {
    if (only_ref && name != "$ref") continue;
    if (name == "type") {
      uint32_t types = 0;
      const auto add = [&](const SchemaValue& type) {
        types |= type.text == "null"      ? kNullClass
                 : type.text == "boolean" ? kBoolClass
                 : type.text == "string"  ? kStringClass
                 : type.text == "array"   ? kArrayClass
                 : type.text == "object"  ? kObjectClass
                                          : kNumberClass;
      };
      if (value->is_array()) {
        for (const SchemaValue* item : value->items) add(*item);
      } else {
        add(*value);
      }
      classes &= types;
    } else if (name == "enum" || name == "const") {
      uint32_t types = 0;
      if (name == "const") types = class_of(*value);
      if (name == "enum") {
        for (const SchemaValue* item : value->items) types |= class_of(*item);
      }
      classes &= types;
    } else if (name == "$ref" && value->is_string()) {
      const SchemaValue* target = ResolveReference(schema, name, *value, info.scope);
      classes &= ClassesOf(LiteralOf(*target, info.scope, true), depth + 1);
    } else if (name == "allOf") {
      for (const SchemaValue* item : value->items) {
        classes &= ClassesOf(LiteralOf(*item, info.scope, true), depth + 1);
      }
    } else if (name == "anyOf" || name == "oneOf") {
      uint32_t types = 0;
      for (const SchemaValue* item : value->items) {
        types |= ClassesOf(LiteralOf(*item, info.scope, true), depth + 1);
      }
      classes &= types;
    }
  }
  return classes;
}

bool SchemaCompiler::SurelyEmpty(const Literals& literals, int depth) {
  (void)depth;
  if (const auto it = empty_memo_.find(literals); it != empty_memo_.end()) return it->second;
  empty_memo_[literals] = false;  // while it is being found out
  Spend(literals.size(), *root_);
  uint32_t classes = 63;
  for (const Literal literal : literals) classes &= ClassesOf(literal, 0);
  bool empty = (classes & (kArrayClass | kObjectClass)) == 0;
  // A scalar formula may be in the middle of itself; then nothing is claimed.
  for (const auto& [active_literal, id] : active_) {
    if (id < 5 && std::find(literals.begin(), literals.end(), active_literal) != literals.end()) {
      empty = false;
    }
  }
  if (empty && (classes & kNullClass)) empty = !Holds(literals, ScalarDomain::kNull);
  if (empty && (classes & kBoolClass)) {
    empty = !Holds(literals, ScalarDomain::kTrue) && !Holds(literals, ScalarDomain::kFalse);
  }
  if (empty && (classes & kStringClass)) empty = StringsOf(literals) == kNothing;
  if (empty && (classes & kNumberClass)) empty = NumbersOf(literals) == kNothing;
  empty_memo_[literals] = empty;
  return empty;
}

bool SchemaCompiler::Contains(const KeySet& set, const std::string& name) {
  bool in = false;
  for (const KeySet::Atom& atom : set.atoms) {
    bool member = atom.names != nullptr && atom.names->contains(name);
    for (size_t i = 0; !member && i < atom.patterns.size(); ++i) {
      member = pool().Matches(atom.patterns[i], DecodeUtf8(name));
    }
    in = in || member != atom.complement;
  }
  return in != set.complement;
}

Regex SchemaCompiler::OthersIn(const KeySet& set) {
  std::vector<Regex> parts;
  for (const KeySet::Atom& atom : set.atoms) {
    const Regex any = pool().Or(atom.patterns);
    parts.push_back(atom.complement ? pool().Not(any) : any);
  }
  const Regex all = pool().Or(parts);
  return set.complement ? pool().Not(all) : all;
}

// Tells of members that look as if they constrained a schema that was used, and do not.
void SchemaCompiler::WarnOfWhatSaysNothing() {
  for (const LiteralInfo& info : literals_) {
    if (info.kind != LiteralInfo::Kind::kSchema || !info.value->is_object()) continue;
    const SchemaValue& schema = *info.value;
    const Draft draft = resolver_->DraftOf(schema);
    const bool only_ref = draft <= Draft::k7 && schema.Find("$ref") != nullptr;
    for (const auto& [name, value] : schema.members) {
      if (IsExtension(name)) continue;
      std::string why = UnknownKeyword(name, draft);
      if (why.empty() && only_ref && IsAssertion(name)) {
        why = "'" + name +
              "' has no meaning beside '$ref' before draft 2019-09: it constrains nothing";
      }
      if (why.empty() && name == "required" && !value->is_array()) {
        why = "'required' is a list since draft 4: it constrains nothing";
      }
      if (why.empty() && name == "format" &&
          options_.format == JsonSchemaOptions::Format::kAssert) {
        why = UnknownFormat(*value);
      }
      if (!why.empty()) Warn(schema, why);
    }
  }
  const SchemaValue* root = root_;
  const SchemaValue* named = root->is_object() ? root->Find("$schema") : nullptr;
  if (named != nullptr && (!named->is_string() || !SchemaResolver::KnowsDraft(named->text))) {
    Warn(*root, "'$schema' names no draft that is known: read as " +
                    std::string(DraftName(resolver_->DraftOf(*root))));
  }
  if (root->parent != nullptr) {
    report_.annotations.push_back(PointerTo(*root) +
                                  ": the schema; what it is wrapped in constrains nothing");
  }
}

// Subschemas that a value of `schema`, or some part of it that must be there, satisfies.
std::vector<const SchemaValue*> SchemaCompiler::PartsThatMustHold(const SchemaValue& schema) {
  std::vector<const SchemaValue*> parts;
  if (!schema.is_object()) return parts;
  const auto add = [&](const SchemaValue* part) {
    if (part != nullptr && part->is_object()) parts.push_back(part);
  };
  const SchemaValue* properties = schema.Find("properties");
  const SchemaValue* required = schema.Find("required");
  if (properties != nullptr && required != nullptr) {
    for (const SchemaValue* name : required->items) add(properties->Find(name->text));
  }
  const SchemaValue* least = schema.Find("minItems");
  if (least != nullptr && least->text != "0") {
    add(schema.Find("items"));
    const SchemaValue* first = schema.Find("prefixItems");
    if (first != nullptr && !first->items.empty()) add(first->items[0]);
  }
  if (const SchemaValue* all = schema.Find("allOf")) {
    for (const SchemaValue* part : all->items) add(part);
  }
  // One alternative must hold: it is told where there is one only.
  for (const char* name : {"anyOf", "oneOf"}) {
    const SchemaValue* any = schema.Find(name);
    if (any != nullptr && any->items.size() == 1) add(any->items[0]);
  }
  const SchemaValue* reference = schema.Find("$ref");
  if (reference != nullptr && reference->is_string()) {
    add(resolver_->Resolve(schema, reference->text));
  }
  return parts;
}

// Names the innermost place that is contradictory on its own.
void SchemaCompiler::ThrowContradiction() {
  // Each is compiled again: enough to look through what people write.
  constexpr size_t kLookedAtMax = 64;
  if (looked_at_ == nullptr) looked_at_ = std::make_shared<std::set<const SchemaValue*>>();
  looked_at_->insert(root_);
  for (const SchemaValue* part : PartsThatMustHold(*root_)) {
    if (looked_at_->size() >= kLookedAtMax || looked_at_->contains(part)) continue;
    try {
      SchemaCompiler(*this, *part).Compile("");
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kInvalid) throw;
    }
  }
  std::string names;
  if (root_->is_object()) {
    for (const auto& [name, value] : root_->members) {
      if (IsAssertion(name)) names += (names.empty() ? "'" : ", '") + name + "'";
    }
  }
  Throw(ErrorCode::kInvalid, "{}: no value satisfies it: its conditions{} contradict each other",
        resolver_->Where(*root_), names.empty() ? "" : " (" + names + ")");
}

std::shared_ptr<const Grammar> SchemaCompiler::Compile(const std::string& digest) {
  const NodeId root = NodeFor({LiteralOf(*root_, 0, true)});
  pool().LimitNodes(options_.limits.schema_regex_nodes_max);
  for (expanding_ = 0; expanding_ < node_literals_.size(); ++expanding_) {
    try {
      Expand(expanding_);
    } catch (const Error& error) {
      // The pool does not know where in the schema its languages are from.
      const std::string& why = error.message();
      const bool placed =
          why.find(": /") != std::string::npos || why.find(": (root)") != std::string::npos;
      if (error.code() != ErrorCode::kExhausted || placed) throw;
      TooMuch(why);
    }
  }
  expanding_ = kNoNode;
  FindProductive();
  WarnOfWhatSaysNothing();
  pool().LimitNodes(options_.limits.regex_nodes_max);
  const ValueNode& value = ir_->values[root];
  if (value.scalars == kNothing && value.strings == kNothing && value.objects.empty() &&
      value.arrays.empty()) {
    ThrowContradiction();
  }
  ir_->root = root;
  return std::make_shared<const Grammar>(ir_, std::move(report_), digest);
}

void AddToDigest(const JsonSchemaOptions& options, Sha256* digest) {
  digest->Field(static_cast<uint64_t>(options.property_order))
      .Field(static_cast<uint64_t>(options.numbers))
      .Field(static_cast<uint64_t>(options.format))
      .Field(static_cast<uint64_t>(options.lenient))
      .Field(static_cast<uint64_t>(options.default_draft));
  for (const auto& [uri, text] : options.remotes) digest->Field(uri).Field(text);
}

}  // namespace retort::grammar

namespace retort {

std::shared_ptr<const Grammar> CompileJsonSchema(std::string_view schema,
                                                 const JsonSchemaOptions& options) {
  Sha256 digest;
  digest.Field("json_schema").Field(schema);
  grammar::AddToDigest(options, &digest);
  return grammar::SchemaCompiler(schema, options).Compile(digest.Hex());
}

}  // namespace retort
