// Filters whose result is a generator: map, select and their kin compute as they are walked.
#include <algorithm>

#include "retort/chat/builtins.h"
#include "retort/chat/filters.h"
#include "retort/chat/operations.h"

namespace retort::jinja {
namespace {

using Args = const CallArgs&;

// A generator over `source`, whose walk begins with the first item asked for: until then even a
// source that cannot be iterated is no error.
Value Generate(Runtime& runtime, const Value& source, int depth,
               std::function<bool(Runtime&, Iterator&, Value*)> next) {
  auto iterator = std::make_shared<std::unique_ptr<Iterator>>();
  return MakeGenerator(
      runtime, "generator",
      [source, iterator, next = std::move(next)](Runtime& r, Value* value) {
        if (!*iterator) *iterator = Iterate(source);
        r.Spend(1);
        return next(r, **iterator, value);
      },
      std::max(depth, source.depth()), source.HasContent());
}

int DepthOf(Args args) {
  int depth = 0;
  for (const Value& value : args.positional) depth = std::max(depth, value.depth());
  for (const auto& [name, value] : args.named) depth = std::max(depth, value.depth());
  return depth;
}

Value GenerateNothing(Runtime& runtime) {
  return MakeGenerator(
      runtime, "generator", [](Runtime&, Value*) { return false; }, 0, false);
}

Value Map(Runtime& runtime, const Value& self, Args args) {
  std::function<Value(Runtime&, const Value&)> apply;
  if (args.positional.empty()) {
    const BoundArgs bound("map", args, {"attribute", "default"}, 1);
    const bool has_default = bound.Has(1) && !bound[1].is_none();
    apply = [path = bound[0], otherwise = bound.Or(1, Value()), has_default](Runtime& r,
                                                                             const Value& item) {
      return LookUpPath(r, item, path, has_default ? &otherwise : nullptr);
    };
  } else {
    const Value& name = args.positional.front();
    const FilterFunction filter = name.is_str() ? FindFilter(name.bytes()) : nullptr;
    CallArgs rest{{args.positional.begin() + 1, args.positional.end()}, args.named};
    apply = [filter, name, rest = std::move(rest)](Runtime& r, const Value& item) {
      if (filter == nullptr) Fail("{}", UnknownFilterMessage(ToText(r, name).view()));
      return filter(r, item, rest);
    };
  }
  if (!Truthy(self)) return GenerateNothing(runtime);
  return Generate(runtime, self, DepthOf(args),
                  [apply](Runtime& r, Iterator& source, Value* value) {
                    Value item;
                    if (!source.Next(r, &item)) return false;
                    *value = apply(r, item);
                    return true;
                  });
}

template <bool keeps_if, bool by_attribute>
Value SelectBy(Runtime& runtime, const Value& self, Args args) {
  if (!Truthy(self)) return GenerateNothing(runtime);
  size_t next_arg = 0;
  std::optional<Value> path;
  if (by_attribute) {
    if (args.positional.empty()) Fail("Missing parameter for attribute name");
    path = args.positional[next_arg++];
  }
  std::optional<Value> name;
  if (next_arg < args.positional.size()) name = args.positional[next_arg++];
  const PredicateFunction predicate =
      name && name->is_str() ? FindPredicate(name->bytes()) : nullptr;
  CallArgs rest{
      {args.positional.begin() + static_cast<std::ptrdiff_t>(next_arg), args.positional.end()},
      args.named};
  const auto holds = [path, name, predicate, rest](Runtime& r, const Value& item) {
    const Value subject = path ? LookUpPath(r, item, *path, nullptr) : item;
    if (!name) return Truthy(subject);
    if (predicate == nullptr) Fail("{}", UnknownPredicateMessage(ToText(r, *name).view()));
    return predicate(r, subject, rest);
  };
  return Generate(runtime, self, DepthOf(args),
                  [holds](Runtime& r, Iterator& source, Value* value) {
                    while (source.Next(r, value)) {
                      r.Spend(1);
                      if (holds(r, *value) == keeps_if) return true;
                    }
                    return false;
                  });
}

Value Items(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("items", args, {}, 0);
  return Generate(runtime, self, self.depth(),
                  [self, next = size_t{0}](Runtime& r, Iterator&, Value* value) mutable {
                    if (self.is_undefined()) return false;
                    if (!self.is_dict()) Fail("Can only get item pairs from a mapping.");
                    if (next >= self.dict().items.size()) return false;
                    const auto& [key, item] = self.dict().items[next++];
                    *value = r.Tuple({key, item});
                    return true;
                  });
}

Value Unique(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("unique", args, {"case_sensitive", "attribute"}, 0);
  const bool is_case_sensitive = bound.OrBool(0, false);
  const Value path = bound.Or(1, Value::None());
  auto seen = std::make_shared<std::vector<std::pair<size_t, Value>>>();
  const auto next = [=](Runtime& r, Iterator& source, Value* value) {
    while (source.Next(r, value)) {
      const Value key = FoldCase(r, path.is_none() ? *value : LookUpPath(r, *value, path, nullptr),
                                 is_case_sensitive);
      const size_t hash = Hash(r, key);
      r.Spend(1 + seen->size() / 8);
      const bool is_seen = std::any_of(seen->begin(), seen->end(), [&](const auto& other) {
        return other.first == hash && Equal(r, other.second, key);
      });
      if (is_seen) continue;
      r.SpendItem(seen->size());
      r.TakeBytes(sizeof(seen->front()));  // until the end, as generators live
      seen->emplace_back(hash, key);
      return true;
    }
    return false;
  };
  return Generate(runtime, self, DepthOf(args), next);
}

Value Batch(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("batch", args, {"linecount", "fill_with"}, 1);
  const int64_t size = bound.OrInt(0, 0);
  const Value fill = bound.Or(1, Value::None());
  const auto next = [=](Runtime& r, Iterator& source, Value* value) {
    std::vector<Value> batch;
    Value item;
    // Python's version never fills a batch of size 0 or less: one batch takes everything.
    while ((size <= 0 || static_cast<int64_t>(batch.size()) < size) && source.Next(r, &item)) {
      Append(r, &batch, std::move(item));
    }
    if (batch.empty()) return false;
    while (!fill.is_none() && static_cast<int64_t>(batch.size()) < size) Append(r, &batch, fill);
    *value = r.List(std::move(batch));
    return true;
  };
  return Generate(runtime, self, DepthOf(args) + 1, next);
}

constexpr FilterEntry kFilters[] = {
    {"batch", Batch},
    {"items", Items},
    {"map", Map},
    {"reject", SelectBy<false, false>},
    {"rejectattr", SelectBy<false, true>},
    {"select", SelectBy<true, false>},
    {"selectattr", SelectBy<true, true>},
    {"unique", Unique},
};

}  // namespace

std::span<const FilterEntry> LazyFilters() { return kFilters; }

}  // namespace retort::jinja
