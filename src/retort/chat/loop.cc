#include "retort/chat/loop.h"

namespace retort::jinja {

Value Loop::Changed(Runtime& runtime, const CallArgs& args) {
  Value now = runtime.Tuple(args.positional);
  if (changed_ && Equal(runtime, *changed_, now)) return Value::Bool(false);
  changed_ = std::move(now);
  return Value::Bool(true);
}

bool Loop::GetAttribute(Runtime& runtime, std::string_view name, Value* value) {
  if (name == "index") {
    *value = Value::Int(index0_ + 1);
  } else if (name == "index0") {
    *value = Value::Int(index0_);
  } else if (name == "first") {
    *value = Value::Bool(index0_ == 0);
  } else if (name == "last") {
    *value = Value::Bool(!Peek());
  } else if (name == "length") {
    *value = Value::Int(CountedLength());
  } else if (name == "revindex") {
    *value = Value::Int(CountedLength() - index0_);
  } else if (name == "revindex0") {
    *value = Value::Int(CountedLength() - index0_ - 1);
  } else if (name == "previtem") {
    *value = previous_ ? *previous_ : runtime.Undefined("there is no previous item");
  } else if (name == "nextitem") {
    *value = Peek() ? *next_ : runtime.Undefined("there is no next item");
  } else if (name == "depth") {
    *value = Value::Int(depth0_ + 1);
  } else if (name == "depth0") {
    *value = Value::Int(depth0_);
  } else if (name == "cycle" || name == "changed") {
    // Bound to this loop by a plain pointer: the loop is kept until the render ends.
    const bool is_cycle = name == "cycle";
    *value = Value::Of(runtime.New<Function>("method", std::string(name),
                                             [this, is_cycle](Runtime& r, const CallArgs& args) {
                                               return is_cycle ? Cycle(args) : Changed(r, args);
                                             }));
    runtime.Keep(std::static_pointer_cast<Object>(shared_from_loop.lock()));
  } else {
    return false;
  }
  return true;
}

}  // namespace retort::jinja
