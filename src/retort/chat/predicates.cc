// What may follow `is`: Jinja calls these tests.
#include <algorithm>
#include <array>

#include "retort/base/json.h"
#include "retort/chat/builtins.h"
#include "retort/chat/operations.h"
#include "retort/chat/unicode.h"

namespace retort::jinja {
namespace {

using Args = const CallArgs&;

void NoArgs(std::string_view name, Args args) { BoundArgs(name, args, {}, 0); }

bool IsDivisible(Runtime& runtime, const Value& v, const Value& by, int64_t rest) {
  return Equal(runtime, Arithmetic(runtime, Op::kModulo, v, by), Value::Int(rest));
}

template <int64_t rest>
bool HasParity(Runtime& runtime, const Value& v, Args args) {
  NoArgs("parity", args);
  return IsDivisible(runtime, v, Value::Int(2), rest);
}

template <Op op>
bool Compares(Runtime& runtime, const Value& v, Args args) {
  const BoundArgs bound("comparison", args, {"other"}, 1);
  return CompareValues(runtime, op, v, bound[0]);
}

// A str whose cased characters all satisfy `is_case`, and which has one.
bool AllCased(Runtime& runtime, const Value& v, bool (*is_case)(char32_t)) {
  const Text text = ToText(runtime, v);
  bool has_cased = false;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = DecodeAt(text.view(), at);
    at += point.num_bytes;
    if (!IsUpper(point.value) && !IsLower(point.value) && !IsTitle(point.value)) continue;
    if (!is_case(point.value)) return false;
    has_cased = true;
  }
  return has_cased;
}

bool IsSequence(const Value& v) {
  return v.is_str() || v.is_list() || v.is_tuple() || v.is_dict() || v.is_undefined() ||
         (v.is_object() && v.object().is_sequence());
}

bool IsSame(Runtime& runtime, const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  if (a.is_none() || a.is_number() || a.is_undefined() || a.is_str()) return Equal(runtime, a, b);
  return a.heap() == b.heap();
}

bool IsCallable(const Value& v) {
  return v.is_undefined() || (v.is_object() && v.object().is_callable());
}

struct PredicateEntry {
  std::string_view name;
  PredicateFunction function;
};

#define RETORT_SIMPLE(name, expression)                       \
  {                                                           \
    name, [](Runtime& r, const Value& v, Args args) -> bool { \
      NoArgs(name, args);                                     \
      static_cast<void>(r);                                   \
      return expression;                                      \
    }                                                         \
  }

constexpr PredicateEntry kPredicates[] = {
    RETORT_SIMPLE("defined", !v.is_undefined()),
    RETORT_SIMPLE("undefined", v.is_undefined()),
    RETORT_SIMPLE("none", v.is_none()),
    RETORT_SIMPLE("boolean", v.is_bool()),
    RETORT_SIMPLE("true", v.is_bool() && v.bool_value()),
    RETORT_SIMPLE("false", v.is_bool() && !v.bool_value()),
    RETORT_SIMPLE("integer", v.is_int()),
    RETORT_SIMPLE("float", v.is_float()),
    RETORT_SIMPLE("number", v.is_number()),
    RETORT_SIMPLE("string", v.is_str()),
    RETORT_SIMPLE("mapping", v.is_dict()),
    RETORT_SIMPLE("sequence", IsSequence(v)),
    RETORT_SIMPLE("iterable", IsIterable(v)),
    RETORT_SIMPLE("callable", IsCallable(v)),
    RETORT_SIMPLE("lower", AllCased(r, v, IsLower)),
    RETORT_SIMPLE("upper", AllCased(r, v, IsUpper)),
    RETORT_SIMPLE("escaped", v.is_str() && v.text().is_markup),
    RETORT_SIMPLE("filter", v.is_str() && FindFilter(v.bytes()) != nullptr),
    RETORT_SIMPLE("test", v.is_str() && FindPredicate(v.bytes()) != nullptr),
    {"odd", HasParity<1>},
    {"even", HasParity<0>},
    {"divisibleby",
     [](Runtime& r, const Value& v, Args args) {
       return IsDivisible(r, v, BoundArgs("divisibleby", args, {"num"}, 1)[0], 0);
     }},
    {"sameas", [](Runtime& r, const Value& v,
                  Args args) { return IsSame(r, v, BoundArgs("sameas", args, {"other"}, 1)[0]); }},
    {"in", [](Runtime& r, const Value& v,
              Args args) { return Contains(r, BoundArgs("in", args, {"seq"}, 1)[0], v); }},
    {"==", Compares<Op::kEqual>},
    {"eq", Compares<Op::kEqual>},
    {"equalto", Compares<Op::kEqual>},
    {"!=", Compares<Op::kNotEqual>},
    {"ne", Compares<Op::kNotEqual>},
    {">", Compares<Op::kGreater>},
    {"gt", Compares<Op::kGreater>},
    {"greaterthan", Compares<Op::kGreater>},
    {">=", Compares<Op::kGreaterEqual>},
    {"ge", Compares<Op::kGreaterEqual>},
    {"<", Compares<Op::kLess>},
    {"lt", Compares<Op::kLess>},
    {"lessthan", Compares<Op::kLess>},
    {"<=", Compares<Op::kLessEqual>},
    {"le", Compares<Op::kLessEqual>},
};
#undef RETORT_SIMPLE

}  // namespace

PredicateFunction FindPredicate(std::string_view name) {
  for (const PredicateEntry& entry : kPredicates) {
    if (entry.name == name) return entry.function;
  }
  return nullptr;
}

std::string UnknownPredicateMessage(std::string_view name) {
  std::vector<std::string_view> names;
  for (const PredicateEntry& entry : kPredicates) names.push_back(entry.name);
  const std::string nearest = NearestName(name, names);
  return fmt::format("there is no test {}{}", Shown(name),
                     nearest.empty() ? "" : " (did you mean '" + nearest + "'?)");
}

}  // namespace retort::jinja
