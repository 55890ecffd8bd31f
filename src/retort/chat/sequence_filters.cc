// Filters over sequences that give their whole result at once.
#include <algorithm>

#include "retort/chat/builtins.h"
#include "retort/chat/filters.h"
#include "retort/chat/operations.h"
#include "retort/chat/strings.h"

namespace retort::jinja {
namespace {

using Args = const CallArgs&;

Value Length(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("length", args, {}, 0);
  if (self.is_str()) runtime.SpendLook(self.text().size());
  const int64_t length = LengthOf(self);
  if (length < 0) Fail("object of type '{}' has no len()", TypeName(self));
  return Value::Int(length);
}

Value List(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("list", args, {}, 0);
  return runtime.List(ToVector(runtime, self));
}

Value First(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("first", args, {}, 0);
  Value item;
  if (Iterate(self)->Next(runtime, &item)) return item;
  return runtime.Undefined("No first item, sequence was empty.");
}

bool IsReversible(const Value& v) {
  return v.is_str() || v.is_list() || v.is_tuple() || v.is_dict() || v.is_undefined() ||
         (v.is_object() && (v.object().is_sequence() || dynamic_cast<DictView*>(&v.object())));
}

Value Last(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("last", args, {}, 0);
  RequireDefined(self);
  if (!IsReversible(self)) Fail("'{}' object is not reversible", TypeName(self));
  const std::vector<Value> items = ToVector(runtime, self);
  return items.empty() ? runtime.Undefined("No last item, sequence was empty.") : items.back();
}

Value Reverse(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("reverse", args, {}, 0);
  if (self.is_str()) return Slice(runtime, self, Value::None(), Value::None(), Value::Int(-1));
  std::vector<Value> items = ToVector(runtime, self);
  std::reverse(items.begin(), items.end());
  Value list = runtime.List(std::move(items));
  if (!IsReversible(self) || self.is_undefined()) return list;
  // Python gives an iterator here: it prints as one, and can be walked once.
  std::shared_ptr<Iterator> walk = Iterate(list);
  return MakeGenerator(
      runtime, TypeName(self) + "_reverseiterator",
      [walk](Runtime& r, Value* value) { return walk->Next(r, value); }, list.depth(),
      list.HasContent());
}

Value JoinFilter(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("join", args, {"d", "attribute"}, 0);
  std::vector<Value> items = ToVector(runtime, self);
  if (bound.Has(1) && !bound[1].is_none()) {
    for (Value& item : items) item = LookUpPath(runtime, item, bound[1], nullptr);
  }
  const Text separator = bound.Has(0) ? ToText(runtime, bound[0]) : Text();
  return runtime.StrBuilt(Join(runtime, separator, items));
}

Value Default(Runtime&, const Value& self, Args args) {
  const BoundArgs bound("default", args, {"default_value", "boolean"}, 0);
  const bool is_missing = self.is_undefined() || (bound.OrBool(1, false) && !Truthy(self));
  return is_missing ? bound.Or(0, Value::Literal("")) : self;
}

// Sorts by keys made beforehand; stable, and stable in reverse too, as Python's sort is.
std::vector<Value> SortBy(Runtime& runtime, Runtime::Entries keyed, bool is_reversed) {
  // With the sort's own room.
  const HeldBytes held(runtime, 2 * keyed.size() * sizeof(keyed[0]));
  const auto less = [&](const auto& a, const auto& b) {
    return is_reversed ? LessThan(runtime, b.first, a.first) : LessThan(runtime, a.first, b.first);
  };
  std::stable_sort(keyed.begin(), keyed.end(), less);
  std::vector<Value> items;
  items.reserve(keyed.size());
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return items;
}

// The key of one item: a path, several joined by commas, or the item itself.
Value SortKey(Runtime& runtime, const Value& item, const Value& attribute, bool is_case_sensitive) {
  if (attribute.is_none()) return FoldCase(runtime, item, is_case_sensitive);
  if (attribute.is_str()) runtime.SpendLook(attribute.bytes().size());
  if (!attribute.is_str() || attribute.bytes().find(',') == std::string::npos) {
    return FoldCase(runtime, LookUpPath(runtime, item, attribute, nullptr), is_case_sensitive);
  }
  std::vector<Value> keys;
  const Text comma = Text::Template(",");
  for (const Value& path : Split(runtime, attribute.text(), &comma, kNoLimit)) {
    Append(runtime, &keys,
           FoldCase(runtime, LookUpPath(runtime, item, path, nullptr), is_case_sensitive));
  }
  return runtime.List(std::move(keys));
}

Value Sort(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("sort", args, {"reverse", "case_sensitive", "attribute"}, 0);
  Runtime::Entries keyed;
  for (const Value& item : ToVector(runtime, self)) {
    keyed.emplace_back(SortKey(runtime, item, bound.Or(2, Value::None()), bound.OrBool(1, false)),
                       item);
  }
  return runtime.List(SortBy(runtime, std::move(keyed), bound.OrBool(0, false)));
}

Value DictSort(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("dictsort", args, {"case_sensitive", "by", "reverse"}, 0);
  RequireDefined(self);
  if (!self.is_dict()) Fail("'{}' object has no attribute 'items'", TypeName(self));
  const std::string by = bound.Has(1) ? ToText(runtime, bound[1]).bytes() : "key";
  if (by != "key" && by != "value") Fail("You can only sort by either \"key\" or \"value\"");
  Runtime::Entries keyed;
  for (const auto& [key, value] : self.dict().items) {
    keyed.emplace_back(FoldCase(runtime, by == "key" ? key : value, bound.OrBool(0, false)),
                       runtime.Tuple({key, value}));
  }
  return runtime.List(SortBy(runtime, std::move(keyed), bound.OrBool(2, false)));
}

Value GroupBy(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("groupby", args, {"attribute", "default", "case_sensitive"}, 1);
  const bool has_default = bound.Has(1) && !bound[1].is_none();
  const Value otherwise = bound.Or(1, Value());
  const bool is_case_sensitive = bound.OrBool(2, false);
  const auto raw_key = [&](const Value& item) {
    return LookUpPath(runtime, item, bound[0], has_default ? &otherwise : nullptr);
  };
  Runtime::Entries keyed;
  for (const Value& item : ToVector(runtime, self)) {
    keyed.emplace_back(FoldCase(runtime, raw_key(item), is_case_sensitive), item);
  }
  std::vector<Value> groups;
  std::vector<Value> group;
  const std::vector<Value> sorted = SortBy(runtime, std::move(keyed), false);
  for (size_t i = 0; i < sorted.size(); ++i) {
    group.push_back(sorted[i]);
    const bool is_last = i + 1 == sorted.size() ||
                         !Equal(runtime, FoldCase(runtime, raw_key(sorted[i]), is_case_sensitive),
                                FoldCase(runtime, raw_key(sorted[i + 1]), is_case_sensitive));
    if (!is_last) continue;
    Value grouper = raw_key(group.front());
    Append(runtime, &groups, runtime.Group(std::move(grouper), runtime.List(std::move(group))));
    group.clear();
  }
  return runtime.List(std::move(groups));
}

template <bool is_min>
Value Extreme(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound(is_min ? "min" : "max", args, {"case_sensitive", "attribute"}, 0);
  const std::vector<Value> items = ToVector(runtime, self);
  if (items.empty()) return runtime.Undefined("No aggregated item, sequence was empty.");
  const auto key = [&](const Value& item) {
    return FoldCase(
        runtime,
        bound.Has(1) && !bound[1].is_none() ? LookUpPath(runtime, item, bound[1], nullptr) : item,
        bound.OrBool(0, false));
  };
  size_t best = 0;
  Value best_key = key(items[0]);
  for (size_t i = 1; i < items.size(); ++i) {
    Value candidate = key(items[i]);
    if (is_min ? LessThan(runtime, candidate, best_key) : LessThan(runtime, best_key, candidate)) {
      best = i;
      best_key = std::move(candidate);
    }
  }
  return items[best];
}

Value Sum(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("sum", args, {"attribute", "start"}, 0);
  Value total = bound.Or(1, Value::Int(0));
  if (total.is_str()) Fail("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : ToVector(runtime, self)) {
    const bool has_attribute = bound.Has(0) && !bound[0].is_none();
    total = Arithmetic(runtime, Op::kAdd, total,
                       has_attribute ? LookUpPath(runtime, item, bound[0], nullptr) : item);
  }
  return total;
}

Value SliceFilter(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("slice", args, {"slices", "fill_with"}, 1);
  const int64_t num_slices = bound.OrInt(0, 0);
  const std::vector<Value> items = ToVector(runtime, self);
  if (num_slices == 0) Fail("integer division or modulo by zero");
  if (num_slices < 0) return runtime.List({});
  runtime.SpendItems(0, static_cast<size_t>(num_slices));
  const size_t count = static_cast<size_t>(num_slices);
  const size_t per_slice = items.size() / count;
  const size_t num_longer = items.size() % count;
  std::vector<Value> slices;
  size_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t end = at + per_slice + (i < num_longer ? 1 : 0);
    std::vector<Value> slice(items.begin() + static_cast<std::ptrdiff_t>(at),
                             items.begin() + static_cast<std::ptrdiff_t>(end));
    if (bound.Has(1) && !bound[1].is_none() && i >= num_longer) slice.push_back(bound[1]);
    slices.push_back(runtime.List(std::move(slice)));
    at = end;
  }
  return runtime.List(std::move(slices));
}

Value Attribute(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("attr", args, {"name"}, 1);
  RequireDefined(self);
  Value value;
  const std::string& name = bound.Str(0).bytes();
  // Attributes only: the keys of a dict are none.
  const bool is_found = self.is_object() ? self.object().GetAttribute(runtime, name, &value)
                                         : FindMethod(runtime, self, name, &value);
  return is_found ? value : MissingAttribute(runtime, self, bound[0]);
}

constexpr FilterEntry kFilters[] = {
    {"attr", Attribute},    {"count", Length},    {"d", Default},         {"default", Default},
    {"dictsort", DictSort}, {"first", First},     {"groupby", GroupBy},   {"join", JoinFilter},
    {"last", Last},         {"length", Length},   {"list", List},         {"max", Extreme<false>},
    {"min", Extreme<true>}, {"reverse", Reverse}, {"slice", SliceFilter}, {"sort", Sort},
    {"sum", Sum},
};

}  // namespace

std::span<const FilterEntry> SequenceFilters() { return kFilters; }

}  // namespace retort::jinja
