#include "retort/chat/operations.h"

#include <algorithm>
#include <cmath>

#include "retort/chat/builtins.h"
#include "retort/chat/formatting.h"
#include "retort/chat/strings.h"

namespace retort::jinja {
namespace {

constexpr std::string_view OpSymbol(Op op) {
  switch (op) {
    case Op::kAdd:
      return "+";
    case Op::kSubtract:
      return "-";
    case Op::kMultiply:
      return "*";
    case Op::kDivide:
      return "/";
    case Op::kFloorDivide:
      return "//";
    case Op::kModulo:
      return "%";
    case Op::kPower:
      return "** or pow()";
    case Op::kLess:
      return "<";
    case Op::kLessEqual:
      return "<=";
    case Op::kGreater:
      return ">";
    case Op::kGreaterEqual:
      return ">=";
    default:
      return "?";
  }
}

[[noreturn]] void FailOverflow() {
  Throw(ErrorCode::kExhausted, "an integer result does not fit 64 bits");
}

int64_t FloorMod(int64_t a, int64_t b) {
  if (b == -1) return 0;  // INT64_MIN % -1 traps
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

int64_t IntPower(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (true) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) FailOverflow();
    exponent >>= 1;
    if (exponent == 0) return result;
    if (__builtin_mul_overflow(base, base, &base)) FailOverflow();
  }
}

Value IntArithmetic(Op op, int64_t a, int64_t b, bool is_content) {
  int64_t result = 0;
  bool overflows = false;
  switch (op) {
    case Op::kAdd:
      overflows = __builtin_add_overflow(a, b, &result);
      break;
    case Op::kSubtract:
      overflows = __builtin_sub_overflow(a, b, &result);
      break;
    case Op::kMultiply:
      overflows = __builtin_mul_overflow(a, b, &result);
      break;
    case Op::kDivide:
      if (b == 0) Fail("division by zero");
      return Value::Float(static_cast<double>(a) / static_cast<double>(b), is_content);
    case Op::kFloorDivide:
      if (b == 0) Fail("integer division or modulo by zero");
      if (b == -1) {
        overflows = __builtin_sub_overflow(int64_t{0}, a, &result);
      } else {
        result = (a - FloorMod(a, b)) / b;
      }
      break;
    case Op::kModulo:
      if (b == 0) Fail("integer modulo by zero");
      result = FloorMod(a, b);
      break;
    default:
      if (b < 0) {
        if (a == 0) Fail("0.0 cannot be raised to a negative power");
        return Value::Float(std::pow(static_cast<double>(a), static_cast<double>(b)), is_content);
      }
      result = IntPower(a, b);
  }
  if (overflows) FailOverflow();
  return Value::Int(result, is_content);
}

Value FloatArithmetic(Op op, double a, double b, bool is_content) {
  double result = 0;
  switch (op) {
    case Op::kAdd:
      result = a + b;
      break;
    case Op::kSubtract:
      result = a - b;
      break;
    case Op::kMultiply:
      result = a * b;
      break;
    case Op::kDivide:
      if (b == 0) Fail("float division by zero");
      result = a / b;
      break;
    case Op::kFloorDivide:
    case Op::kModulo: {
      if (b == 0) Fail("float floor division or modulo by zero");
      double rest = std::fmod(a, b);
      if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
      result = op == Op::kModulo ? rest : std::floor((a - rest) / b + 0.5);
      break;
    }
    default:
      if (a == 0 && b < 0) Fail("0.0 cannot be raised to a negative power");
      if (a < 0 && b != std::floor(b)) {
        Throw(ErrorCode::kUnsupported, "complex numbers are not supported");
      }
      result = std::pow(a, b);
      if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) Fail("result too large");
  }
  return Value::Float(result, is_content);
}

Value Repeat(Runtime& runtime, const Value& sequence, int64_t count) {
  const size_t times = static_cast<size_t>(std::max<int64_t>(count, 0));
  if (sequence.is_str()) {
    const Text& text = sequence.text();
    TextBuilder out(runtime);
    if (!text.empty() && DecodeAt(text.view(), 0).num_bytes == text.size()) {
      out.Fill(text, times);
    } else {
      for (size_t i = 0; i < times && !text.empty(); ++i) out.Append(text);
    }
    return runtime.StrBuilt(out.Take(text.is_markup));
  }
  const std::vector<Value>& items = sequence.items();
  std::vector<Value> out;
  if (!items.empty() && times > 0) {
    runtime.SpendItems(0, std::min(times, kRenderItemsMax + 1));  // so that the product fits
    runtime.SpendItems(0, times * items.size());
    for (size_t i = 0; i < times; ++i) out.insert(out.end(), items.begin(), items.end());
  }
  return sequence.is_list() ? runtime.List(std::move(out)) : runtime.Tuple(std::move(out));
}

Value JoinItems(Runtime& runtime, const Value& a, const Value& b) {
  runtime.SpendItems(a.items().size(), b.items().size());
  runtime.Spend(a.items().size());
  std::vector<Value> items = a.items();
  items.insert(items.end(), b.items().begin(), b.items().end());
  return a.is_list() ? runtime.List(std::move(items)) : runtime.Tuple(std::move(items));
}

bool IsRepeatable(const Value& v) { return v.is_str() || v.is_list() || v.is_tuple(); }

// -1, 0 or 1, or 2 for a NaN; throws if the two have no order.
int Order(Runtime& runtime, Op op, const Value& a, const Value& b) {
  runtime.Spend(1);
  if (a.is_integral() && b.is_integral()) {
    return a.int_value() < b.int_value() ? -1 : a.int_value() > b.int_value() ? 1 : 0;
  }
  if (a.is_number() && b.is_number()) {
    const double x = a.float_value();
    const double y = b.float_value();
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
  }
  if (a.is_str() && b.is_str()) {
    runtime.SpendLook(std::min(a.bytes().size(), b.bytes().size()));
    const int order = a.bytes().compare(b.bytes());  // UTF-8 sorts as its code points do
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if ((a.is_list() && b.is_list()) || (a.is_tuple() && b.is_tuple())) {
    const size_t common = std::min(a.items().size(), b.items().size());
    for (size_t i = 0; i < common; ++i) {
      if (!Equal(runtime, a.items()[i], b.items()[i])) {
        return Order(runtime, op, a.items()[i], b.items()[i]);
      }
    }
    return Order(runtime, op, Value::Int(static_cast<int64_t>(a.items().size())),
                 Value::Int(static_cast<int64_t>(b.items().size())));
  }
  RequireDefined(a);
  RequireDefined(b);
  Fail("'{}' not supported between instances of '{}' and '{}'", OpSymbol(op), TypeName(a),
       TypeName(b));
}

struct SliceBounds {
  int64_t start;
  int64_t stop;
  int64_t step;
};

// Python's slice.indices(length).
SliceBounds ResolveSlice(const Value& start, const Value& stop, const Value& step, int64_t length) {
  const auto index = [](const Value& value, int64_t otherwise) {
    if (value.is_none()) return otherwise;
    RequireDefined(value);
    if (!value.is_integral()) Fail("slice indices must be integers or None");
    return value.int_value();
  };
  SliceBounds bounds{0, 0, index(step, 1)};
  if (bounds.step == 0) Fail("slice step cannot be zero");
  bounds.step = std::max(bounds.step, -INT64_MAX);
  const int64_t low = bounds.step < 0 ? -1 : 0;
  const int64_t high = bounds.step < 0 ? length - 1 : length;
  const auto clamp = [&](int64_t at) {
    return at < 0 ? std::max(at + length, low) : std::min(at, high);
  };
  bounds.start = clamp(index(start, bounds.step < 0 ? INT64_MAX : 0));
  bounds.stop = stop.is_none() ? (bounds.step < 0 ? -1 : length) : clamp(index(stop, 0));
  return bounds;
}

Value SliceText(Runtime& runtime, const Text& text, const Value& start, const Value& stop,
                const Value& step) {
  runtime.SpendLook(text.size());
  const auto length = static_cast<int64_t>(CountCodePoints(text.view()));
  const SliceBounds bounds = ResolveSlice(start, stop, step, length);
  if (bounds.step == 1) {
    if (bounds.start >= bounds.stop) return runtime.Str(text.Substr(0, 0));
    return runtime.Str(text.Substr(ByteOffset(text.view(), static_cast<size_t>(bounds.start)),
                                   ByteOffset(text.view(), static_cast<size_t>(bounds.stop))));
  }
  std::vector<uint32_t> offsets;  // of every code point, then the end
  const HeldBytes held(runtime, static_cast<uint64_t>(length + 1) * sizeof(offsets[0]));
  offsets.reserve(static_cast<size_t>(length) + 1);
  for (size_t at = 0; at < text.size(); at += DecodeAt(text.view(), at).num_bytes) {
    offsets.push_back(static_cast<uint32_t>(at));
  }
  offsets.push_back(static_cast<uint32_t>(text.size()));
  TextBuilder out(runtime);
  const Range range(bounds.start, bounds.stop, bounds.step);
  for (int64_t i = 0; i < range.Length(); ++i) {
    const auto at = static_cast<size_t>(range.At(i).int_value());
    out.Append(text, offsets[at], offsets[at + 1]);
  }
  return runtime.StrBuilt(out.Take(text.is_markup));
}

// object[index] of a sequence. False if it is out of range.
bool AtIndex(Runtime& runtime, const Value& object, int64_t index, Value* value) {
  if (object.is_str()) runtime.SpendLook(object.bytes().size());
  const int64_t length = LengthOf(object);
  if (index < 0) index += length;
  if (index < 0 || index >= length) return false;
  if (object.is_str()) {
    const Text& text = object.text();
    const size_t begin = ByteOffset(text.view(), static_cast<size_t>(index));
    *value = runtime.Str(text.Substr(begin, begin + DecodeAt(text.view(), begin).num_bytes));
  } else if (object.is_object()) {
    *value = object.object().At(index);
  } else {
    *value = object.items()[static_cast<size_t>(index)];
  }
  return true;
}

// object[key] in Python, or false where that raises TypeError or LookupError.
bool Subscript(Runtime& runtime, const Value& object, const Value& key, Value* value) {
  if (object.is_dict()) {
    const bool is_hashable = !key.is_list() && !key.is_dict();
    const Value* found = is_hashable ? object.dict().Find(runtime, key) : nullptr;
    if (found != nullptr) *value = *found;
    return found != nullptr;
  }
  const bool is_sequence = object.is_str() || object.is_list() || object.is_tuple() ||
                           (object.is_object() && object.object().is_sequence());
  if (!is_sequence || !key.is_integral()) return false;
  return AtIndex(runtime, object, key.int_value(), value);
}

bool PythonAttribute(Runtime& runtime, const Value& object, std::string_view name, Value* value) {
  if (object.is_object()) return object.object().GetAttribute(runtime, name, value);
  return FindMethod(runtime, object, name, value);
}

}  // namespace

void RequireDefined(const Value& value) {
  if (value.is_undefined()) Fail("{}", value.undefined_message());
}

Value MissingAttribute(Runtime& runtime, const Value& object, const Value& name) {
  const std::string type = object.is_none() ? "None" : TypeName(object) + " object";
  if (name.is_str()) {
    return runtime.Undefined(fmt::format("'{}' has no attribute {}", type, Shown(name)), true);
  }
  return runtime.Undefined(fmt::format("{} has no element {}", type, Shown(name)), true);
}

Value ConcatText(Runtime& runtime, const Text& a, const Text& b) {
  const bool is_markup = a.is_markup || b.is_markup;
  TextBuilder out(runtime);
  for (const Text* part : {&a, &b}) {
    if (is_markup && !part->is_markup) {
      out.Append(EscapeHtml(runtime, *part));
    } else {
      out.Append(*part);
    }
  }
  return runtime.StrBuilt(out.Take(is_markup));
}

Value Arithmetic(Runtime& runtime, Op op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    const bool is_content = a.is_scalar_content() || b.is_scalar_content();
    if (a.is_integral() && b.is_integral()) {
      return IntArithmetic(op, a.int_value(), b.int_value(), is_content);
    }
    return FloatArithmetic(op, a.float_value(), b.float_value(), is_content);
  }
  RequireDefined(a);
  if (op == Op::kModulo && a.is_str()) return FormatPercent(runtime, a.text(), b);
  RequireDefined(b);
  if (op == Op::kAdd) {
    if (a.is_str() && b.is_str()) return ConcatText(runtime, a.text(), b.text());
    if ((a.is_list() && b.is_list()) || (a.is_tuple() && b.is_tuple())) {
      return JoinItems(runtime, a, b);
    }
    if (IsRepeatable(a)) {
      Fail("can only concatenate {} (not \"{}\") to {}", TypeName(a), TypeName(b), TypeName(a));
    }
  }
  if (op == Op::kMultiply) {
    if (IsRepeatable(a) && b.is_integral()) return Repeat(runtime, a, b.int_value());
    if (a.is_integral() && IsRepeatable(b)) return Repeat(runtime, b, a.int_value());
  }
  Fail("unsupported operand type(s) for {}: '{}' and '{}'", OpSymbol(op), TypeName(a), TypeName(b));
}

Value Negate(const Value& value) {
  if (value.is_integral()) {
    return IntArithmetic(Op::kSubtract, 0, value.int_value(), value.is_scalar_content());
  }
  if (value.is_float()) return Value::Float(-value.float_value(), value.is_scalar_content());
  RequireDefined(value);
  Fail("bad operand type for unary -: '{}'", TypeName(value));
}

Value Posate(const Value& value) {
  if (value.is_integral()) return Value::Int(value.int_value(), value.is_scalar_content());
  if (value.is_float()) return value;
  RequireDefined(value);
  Fail("bad operand type for unary +: '{}'", TypeName(value));
}

bool LessThan(Runtime& runtime, const Value& a, const Value& b) {
  return Order(runtime, Op::kLess, a, b) == -1;
}

bool CompareValues(Runtime& runtime, Op op, const Value& a, const Value& b) {
  runtime.Spend(1);
  switch (op) {
    case Op::kEqual:
      return Equal(runtime, a, b);
    case Op::kNotEqual:
      return !Equal(runtime, a, b);
    case Op::kIn:
      return Contains(runtime, b, a);
    case Op::kNotIn:
      return !Contains(runtime, b, a);
    default:
      break;
  }
  const int order = Order(runtime, op, a, b);
  if (order == 2) return false;
  switch (op) {
    case Op::kLess:
      return order < 0;
    case Op::kLessEqual:
      return order <= 0;
    case Op::kGreater:
      return order > 0;
    default:
      return order >= 0;
  }
}

bool Contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.is_str()) {
    if (!item.is_str()) {
      RequireDefined(item);
      Fail("'in <string>' requires string as left operand, not {}", TypeName(item));
    }
    return FindText(runtime, container.text().view(), item.text().view()) != std::string::npos;
  }
  if (container.is_dict()) return container.dict().Find(runtime, item) != nullptr;
  if (!IsIterable(container)) Fail("argument of type '{}' is not iterable", TypeName(container));
  const auto iterator = Iterate(container);
  for (Value candidate; iterator->Next(runtime, &candidate);) {
    runtime.Spend(1);
    if (Equal(runtime, candidate, item)) return true;
  }
  return false;
}

Value GetAttribute(Runtime& runtime, const Value& object, std::string_view name) {
  RequireDefined(object);
  Value value;
  if (PythonAttribute(runtime, object, name, &value)) return value;
  if (object.is_dict()) {
    const Value* found = object.dict().Find(runtime, name);
    if (found != nullptr) return *found;
  }
  return MissingAttribute(runtime, object, runtime.Str(name));
}

Value GetItem(Runtime& runtime, const Value& object, const Value& key) {
  RequireDefined(object);
  Value value;
  if (Subscript(runtime, object, key, &value)) return value;
  if (key.is_str() && PythonAttribute(runtime, object, key.bytes(), &value)) return value;
  return MissingAttribute(runtime, object, key);
}

Value Slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
            const Value& step) {
  RequireDefined(object);
  if (object.is_str()) return SliceText(runtime, object.text(), start, stop, step);
  const bool is_range = object.is_object() && object.object().is_sequence();
  if (!object.is_list() && !object.is_tuple() && !is_range) {
    if (object.is_dict()) Fail("unhashable type: 'slice'");
    Fail("'{}' object is not subscriptable", TypeName(object));
  }
  const SliceBounds bounds = ResolveSlice(start, stop, step, LengthOf(object));
  std::vector<Value> items;
  const Range range(bounds.start, bounds.stop, bounds.step);
  runtime.SpendItems(0, static_cast<size_t>(range.Length()));
  for (int64_t n = 0; n < range.Length(); ++n) {
    const int64_t i = range.At(n).int_value();
    items.push_back(is_range ? object.object().At(i) : object.items()[static_cast<size_t>(i)]);
  }
  return object.is_tuple() ? runtime.Tuple(std::move(items)) : runtime.List(std::move(items));
}

Value Call(Runtime& runtime, const Value& callee, const CallArgs& args) {
  RequireDefined(callee);
  if (!callee.is_object()) Fail("'{}' object is not callable", TypeName(callee));
  DepthGuard guard(runtime);
  runtime.Spend(1);
  return callee.object().Call(runtime, args);
}

}  // namespace retort::jinja
