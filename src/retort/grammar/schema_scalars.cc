#include "retort/grammar/schema_scalars.h"

#include <algorithm>

#include "retort/grammar/json_number.h"
#include "retort/grammar/utf8_text.h"

namespace retort::grammar {

bool ScalarDomain::IsCanonical() const {
  return compiler_.options().numbers == JsonSchemaOptions::Numbers::kCanonical;
}

Regex ScalarDomain::Const(const SchemaValue& value, bool positive) {
  using Type = SchemaValue::Type;
  RegexPool& pool = compiler_.pool();
  Regex equal = kNothing;
  switch (id_) {
    case kString:
      if (value.is_string()) equal = pool.Literal(DecodeUtf8(value.text));
      break;
    case kNumber:
      if (value.is_number()) {
        const auto number = Decimal::Parse(value.text);
        if (!number) compiler_.Refuse(value, "const", "a number beyond 1e±9999");
        // A negated constant excludes every spelling of its value.
        const bool one = positive && IsCanonical();
        if (number) equal = one ? CanonicalNumber(*number, &pool) : NumberEqualTo(*number, &pool);
      }
      break;
    case kNull:
      equal = value.type == Type::kNull ? kEverything : kNothing;
      break;
    case kTrue:
      equal = value.type == Type::kBool && value.boolean ? kEverything : kNothing;
      break;
    default:
      equal = value.type == Type::kBool && !value.boolean ? kEverything : kNothing;
  }
  return Sign(equal, positive);
}

Regex ScalarDomain::Type(const std::string& name, Draft draft, bool positive) {
  Regex r = kNothing;
  switch (id_) {
    case kString:
      r = name == "string" ? kEverything : kNothing;
      break;
    case kNumber:
      r = name == "number"            ? kEverything
          : name != "integer"         ? kNothing
          : positive && IsCanonical() ? CanonicalInteger(&compiler_.pool())
          : draft == Draft::k4        ? IntegerLiteral(&compiler_.pool())
                                      : IntegerNumber(&compiler_.pool());
      break;
    case kNull:
      r = name == "null" ? kEverything : kNothing;
      break;
    default:
      r = name == "boolean" ? kEverything : kNothing;
  }
  return Sign(r, positive);
}

void ScalarDomain::Keyword(const SchemaValue& schema, uint32_t, const std::string& name,
                           const SchemaValue& value, bool positive, std::vector<Regex>* parts) {
  if (id_ == kNumber) NumberKeyword(schema, name, value, positive, parts);
  if (id_ == kString) StringKeyword(schema, name, value, positive, parts);
}

void ScalarDomain::NumberKeyword(const SchemaValue& schema, const std::string& name,
                                 const SchemaValue& value, bool positive,
                                 std::vector<Regex>* parts) {
  const bool minimum = name == "minimum" || name == "exclusiveMinimum";
  const bool maximum = name == "maximum" || name == "exclusiveMaximum";
  const bool multiple = name == "multipleOf";
  if (!minimum && !maximum && !multiple) return;
  bool exclusive = name.starts_with("exclusive");
  if (exclusive && value.type == SchemaValue::Type::kBool) return;  // draft 4: said of minimum
  if (!value.is_number()) compiler_.Invalid(schema, name, "a number is expected");
  if (!exclusive && !multiple) {
    const SchemaValue* flag = schema.Find(minimum ? "exclusiveMinimum" : "exclusiveMaximum");
    exclusive = flag != nullptr && flag->type == SchemaValue::Type::kBool && flag->boolean;
  }
  const auto bound = Decimal::Parse(value.text);
  if (!bound) {
    compiler_.Refuse(schema, name, "a number beyond 1e±9999");
    return;
  }
  RegexPool& pool = compiler_.pool();
  if (multiple) {
    if (bound->is_zero() || bound->negative) compiler_.Invalid(schema, name, "must be above 0");
    const auto multiples = NumberMultipleOf(*bound, !positive, &pool);
    if (!multiples) {
      compiler_.Refuse(schema, name, "a divisor of too many digits (as n / 10^k, n at most 20000)");
    } else {
      parts->push_back(*multiples);
      if (positive && bound->is_integer() && IsCanonical()) {
        parts->push_back(CanonicalInteger(&pool));
      }
    }
    return;
  }
  // x <= b  <=>  not x > b.
  const Regex at_least = NumberAtLeast(*bound, minimum == exclusive, &pool);
  parts->push_back(Sign(at_least, positive == minimum));
}

void ScalarDomain::StringKeyword(const SchemaValue& schema, const std::string& name,
                                 const SchemaValue& value, bool positive,
                                 std::vector<Regex>* parts) {
  RegexPool& pool = compiler_.pool();
  if (name == "minLength" || name == "maxLength") {
    const uint32_t count = compiler_.CountOf(schema, name, value);
    const Regex any = pool.Set(CodePointSet::Any());
    parts->push_back(
        Sign(name == "minLength" ? pool.Repeat(any, count, kUnbounded) : pool.Repeat(any, 0, count),
             positive));
  } else if (name == "pattern") {
    if (!value.is_string()) compiler_.Invalid(schema, name, "a string is expected");
    parts->push_back(Sign(compiler_.PatternOf(schema, name, value.text), positive));
  } else if (name == "format" && value.is_string()) {
    if (compiler_.options().format == JsonSchemaOptions::Format::kAnnotation) return;
    const auto names = FormatNames();
    if (std::find(names.begin(), names.end(), value.text) == names.end()) return;
    const Regex language = FormatRegex(value.text, compiler_.options().limits, &pool);
    if (language == kNothing) {
      compiler_.Refuse(schema, name, "'" + value.text + "' is no regular language");
    } else {
      parts->push_back(Sign(language, positive));
    }
  }
}

}  // namespace retort::grammar
