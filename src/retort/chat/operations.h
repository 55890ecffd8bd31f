#pragma once

#include "retort/chat/ast.h"
#include "retort/chat/runtime.h"

// Python's operators. All throw Error{kInvalid} with Python's reason where Python raises.
namespace retort::jinja {

// A value made from scalars is content if one of them was; see Value::is_scalar_content.
Value Arithmetic(Runtime& runtime, Op op, const Value& a, const Value& b);
Value Negate(const Value& value);
Value Posate(const Value& value);
bool CompareValues(Runtime& runtime, Op op, const Value& a, const Value& b);
// a < b, as for sorting.
bool LessThan(Runtime& runtime, const Value& a, const Value& b);
bool Contains(Runtime& runtime, const Value& container, const Value& item);

// object.name and object[key] as Jinja's sandbox resolves them. What is missing is undefined.
Value GetAttribute(Runtime& runtime, const Value& object, std::string_view name);
Value GetItem(Runtime& runtime, const Value& object, const Value& key);
// object[start:stop:step]; undefined bounds are not given (pass None for those left out).
Value Slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
            const Value& step);
Value Call(Runtime& runtime, const Value& callee, const CallArgs& args);

// Throws if `value` is undefined: for operations that use it.
void RequireDefined(const Value& value);

Value ConcatText(Runtime& runtime, const Text& a, const Text& b);
// "'x' is undefined" and its kin.
Value MissingAttribute(Runtime& runtime, const Value& object, const Value& name);

}  // namespace retort::jinja
