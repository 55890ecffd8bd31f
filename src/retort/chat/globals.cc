// Functions that every template can call.
#include <algorithm>
#include <array>

#include "retort/chat/builtins.h"
#include "retort/chat/formatting.h"
#include "retort/chat/globals.h"
#include "retort/chat/operations.h"

namespace retort::jinja {
namespace {

constexpr size_t kTimeFormatBytesMax = 1024;  // each of its directives writes up to 24 bytes

Value MakeRange(Runtime& runtime, const CallArgs& args) {
  const BoundArgs bound("range", args, {"start", "stop", "step"}, 1);
  const int64_t first = bound.OrInt(0, 0);
  const int64_t start = bound.Has(1) ? first : 0;
  const int64_t stop = bound.OrInt(1, first);
  const int64_t step = bound.OrInt(2, 1);
  if (step == 0) Fail("range() arg 3 must not be zero");
  const auto range = runtime.New<Range>(start, stop, step);
  if (range->Length() > kRenderRangeLengthMax) {
    Throw(ErrorCode::kExhausted, "a range of {} items is longer than the {} allowed",
          range->Length(), kRenderRangeLengthMax);
  }
  return Value::Of(range);
}

// The pairs of dict(x, a=1): of a mapping or of an iterable of pairs, then the named ones.
std::vector<std::pair<Value, Value>> Pairs(Runtime& runtime, std::string_view function,
                                           const CallArgs& args) {
  std::vector<std::pair<Value, Value>> items;
  if (args.positional.size() > 1) Fail("{} expected at most 1 argument", function);
  if (!args.positional.empty()) {
    const Value& source = args.positional.front();
    if (source.is_dict()) {
      runtime.SpendItems(0, source.dict().items.size());
      items = source.dict().items;
    } else {
      for (const Value& item : ToVector(runtime, source)) {
        const std::vector<Value> pair = ToVector(runtime, item);
        if (pair.size() != 2)
          Fail("dictionary update sequence element has length {}; 2 is required", pair.size());
        runtime.SpendItem(items.size());
        items.emplace_back(pair[0], pair[1]);
      }
    }
  }
  for (const auto& [name, value] : args.named) {
    runtime.SpendItem(items.size());
    items.emplace_back(runtime.Str(name), value);
  }
  return items;
}

Value MakeDict(Runtime& runtime, const CallArgs& args) {
  return runtime.Dict(Pairs(runtime, "dict", args));
}

Value MakeNamespace(Runtime& runtime, const CallArgs& args) {
  const auto space = runtime.New<Namespace>();
  runtime.Keep(space);
  for (const auto& [name, value] : Pairs(runtime, "namespace", args)) {
    space->SetAttribute(runtime, name.is_str() ? name.text().view() : Repr(runtime, name).view(),
                        value);
  }
  return Value::Of(space);
}

Value RaiseException(Runtime& runtime, const CallArgs& args) {
  const BoundArgs bound("raise_exception", args, {"message"}, 1);
  Fail("{}", ToText(runtime, bound[0]).view());
}

Value StrftimeNow(Runtime& runtime, const CallArgs& args) {
  const BoundArgs bound("strftime_now", args, {"format"}, 1);
  if (!runtime.options().clock) {
    Fail(
        "strftime_now() needs a clock, and this render was given none: pass the time in "
        "RenderOptions::clock");
  }
  const Text& format = bound.Str(0);
  if (format.size() > kTimeFormatBytesMax) {
    Throw(ErrorCode::kExhausted,
          "strftime_now(): a format of {} bytes is longer than the {} allowed", format.size(),
          kTimeFormatBytesMax);
  }
  return runtime.Str(
      Text(FormatTime(*runtime.options().clock, format.view()), !format.HasContent()));
}

class Cycler : public Object {
 public:
  Cycler(std::vector<Value> items, int depth) : Object(depth + 1), items_(std::move(items)) {}
  std::string TypeName() const override { return "Cycler"; }
  bool HasContent() const override { return true; }
  bool GetAttribute(Runtime& runtime, std::string_view name, Value* value) override {
    if (name == "current") {
      *value = items_[at_];
    } else if (name == "next" || name == "reset") {
      const bool is_next = name == "next";
      *value = Value::Of(runtime.New<Function>(
          "method", std::string(name),
          [this, is_next, keep = self.lock()](Runtime&, const CallArgs&) {
            if (!is_next) at_ = 0;
            if (!is_next) return Value::None();
            Value item = items_[at_];
            at_ = (at_ + 1) % items_.size();
            return item;
          },
          depth));
    } else {
      return false;
    }
    return true;
  }
  std::weak_ptr<Cycler> self;

 private:
  const std::vector<Value> items_;
  size_t at_ = 0;
};

Value MakeCycler(Runtime& runtime, const CallArgs& args) {
  if (args.positional.empty()) Fail("at least one item has to be provided");
  if (!args.named.empty()) Fail("cycler() takes no keyword arguments");
  const Value items = runtime.Tuple(args.positional);
  runtime.SpendItems(0, items.items().size());
  const auto cycler = runtime.New<Cycler>(items.items(), items.depth());
  cycler->self = cycler;
  return Value::Of(cycler);
}

Value MakeJoiner(Runtime& runtime, const CallArgs& args) {
  const BoundArgs bound("joiner", args, {"sep"}, 0);
  Value separator = bound.Or(0, Value::Literal(", "));
  return Value::Of(runtime.New<Function>(
      "Joiner", "joiner",
      [separator, is_used = std::make_shared<bool>(false)](Runtime&, const CallArgs&) {
        if (*is_used) return separator;
        *is_used = true;
        return Value::Literal("");
      },
      separator.depth()));
}

struct GlobalEntry {
  std::string_view name;
  Value (*function)(Runtime&, const CallArgs&);
};

constexpr std::array<GlobalEntry, 7> kGlobals = {{
    {"range", MakeRange},
    {"dict", MakeDict},
    {"namespace", MakeNamespace},
    {"cycler", MakeCycler},
    {"joiner", MakeJoiner},
    {"raise_exception", RaiseException},
    {"strftime_now", StrftimeNow},
}};

}  // namespace

bool FindGlobal(Runtime& runtime, std::string_view name, Value* value) {
  for (const GlobalEntry& entry : kGlobals) {
    if (entry.name != name) continue;
    *value = Value::Of(runtime.New<Function>("function", std::string(name), entry.function));
    return true;
  }
  return false;
}

}  // namespace retort::jinja

bool retort::IsTemplateGlobal(std::string_view name) {
  return std::any_of(jinja::kGlobals.begin(), jinja::kGlobals.end(),
                     [name](const auto& entry) { return entry.name == name; });
}
