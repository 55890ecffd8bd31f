#include "retort/chat/value.h"

#include <algorithm>
#include <cmath>

#include "retort/chat/runtime.h"
#include "retort/chat/template.h"
#include "retort/chat/unicode.h"

namespace retort::jinja {
namespace {

constexpr size_t kIndexedDictSizeMin = 9;
constexpr size_t kShownBytesMax = 100;  // of a value in a message

int DepthOf(const std::vector<Value>& items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return CheckedDepth(depth + 1);
}

int DepthOf(const std::vector<std::pair<Value, Value>>& items) {
  int depth = 0;
  for (const auto& [key, value] : items) depth = std::max({depth, key.depth(), value.depth()});
  return CheckedDepth(depth + 1);
}

bool HaveContent(const std::vector<Value>& items) {
  return std::any_of(items.begin(), items.end(), [](const Value& v) { return v.HasContent(); });
}

class SequenceIterator : public Iterator {
 public:
  explicit SequenceIterator(Value sequence) : sequence_(std::move(sequence)) {}
  bool Next(Runtime&, Value* value) override {
    if (next_ >= sequence_.items().size()) return false;
    *value = sequence_.items()[next_++];
    return true;
  }

 private:
  Value sequence_;
  size_t next_ = 0;
};

class StrIterator : public Iterator {
 public:
  explicit StrIterator(Value str) : str_(std::move(str)) {}
  bool Next(Runtime& runtime, Value* value) override {
    const Text& text = str_.text();
    if (at_ >= text.size()) return false;
    const size_t end = at_ + DecodeAt(text.view(), at_).num_bytes;
    *value = runtime.Str(text.Substr(at_, end));
    at_ = end;
    return true;
  }

 private:
  Value str_;
  size_t at_ = 0;
};

class KeyIterator : public Iterator {
 public:
  explicit KeyIterator(Value dict) : dict_(std::move(dict)) {}
  bool Next(Runtime&, Value* value) override {
    if (next_ >= dict_.dict().items.size()) return false;
    *value = dict_.dict().items[next_++].first;
    return true;
  }

 private:
  Value dict_;
  size_t next_ = 0;
};

class EmptyIterator : public Iterator {
 public:
  bool Next(Runtime&, Value*) override { return false; }
};

}  // namespace

int CheckedDepth(int depth) {
  if (depth > kRenderValueDepthMax) {
    Throw(ErrorCode::kExhausted, "values are nested deeper than {} levels", kRenderValueDepthMax);
  }
  return depth;
}

Value Value::Bool(bool value, bool is_content) {
  Value out(Kind::kBool, is_content);
  out.scalar_.integer = value ? 1 : 0;
  return out;
}

Value Value::Int(int64_t value, bool is_content) {
  Value out(Kind::kInt, is_content);
  out.scalar_.integer = value;
  return out;
}

Value Value::Float(double value, bool is_content) {
  Value out(Kind::kFloat, is_content);
  out.scalar_.real = value;
  return out;
}

Value Value::Literal(std::string_view text) {
  return Value(Kind::kStr, std::make_shared<StrHeap>(Text::Template(std::string(text))));
}

Value Value::Of(std::shared_ptr<Object> object) {
  CheckedDepth(object->depth);
  Value out(Kind::kObject, false);
  out.heap_ = std::move(object);
  return out;
}

double Value::float_value() const {
  return is_float() ? scalar_.real : static_cast<double>(scalar_.integer);
}

const Text& Value::text() const { return static_cast<const StrHeap&>(*heap_).text; }
const std::vector<Value>& Value::items() const {
  return static_cast<const SequenceHeap&>(*heap_).items;
}
bool Value::is_group() const { return static_cast<const SequenceHeap&>(*heap_).is_group; }
const DictHeap& Value::dict() const { return static_cast<const DictHeap&>(*heap_); }
Object& Value::object() const { return static_cast<Object&>(*heap_); }

std::string Value::undefined_message() const {
  return heap_ ? static_cast<const MissingHeap&>(*heap_).message : "value is undefined";
}

bool Value::is_missing_member() const {
  return is_undefined() && heap_ && static_cast<const MissingHeap&>(*heap_).is_member;
}

bool Value::HasContent() const {
  switch (kind_) {
    case Kind::kStr:
      return text().HasContent();
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<const SequenceHeap&>(*heap_).has_content;
    case Kind::kDict:
      return dict().has_content;
    case Kind::kObject:
      return object().HasContent();
    default:
      return is_content_;
  }
}

SequenceHeap::SequenceHeap(std::vector<Value> entries, bool is_group)
    : Heap(DepthOf(entries)),
      items(std::move(entries)),
      has_content(HaveContent(items)),
      is_group(is_group) {}

DictHeap::DictHeap(Runtime& runtime, std::vector<std::pair<Value, Value>> entries)
    : Heap(DepthOf(entries)) {
  if (entries.size() < kIndexedDictSizeMin) {
    for (auto& entry : entries) {
      Hash(runtime, entry.first);  // refuses unhashable keys
      const auto same = std::find_if(items.begin(), items.end(), [&](const auto& item) {
        return Equal(runtime, item.first, entry.first);
      });
      if (same != items.end()) {
        same->second = std::move(entry.second);
      } else {
        items.push_back(std::move(entry));
      }
    }
  } else {
    Index(runtime, std::move(entries));
  }
  has_content = std::any_of(items.begin(), items.end(), [](const auto& item) {
    return item.first.HasContent() || item.second.HasContent();
  });
}

// Sorts by (hash, position); within one hash the first of equal keys keeps its place and the last
// of them gives the value.
void DictHeap::Index(Runtime& runtime, std::vector<std::pair<Value, Value>> entries) {
  index_.reserve(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    index_.emplace_back(Hash(runtime, entries[i].first), i);
  }
  std::sort(index_.begin(), index_.end());
  std::vector<bool> is_dropped(entries.size(), false);
  for (size_t i = 0; i < index_.size(); ++i) {
    for (size_t j = i; j-- > 0 && index_[j].first == index_[i].first;) {
      runtime.Spend(1);
      auto& earlier = entries[index_[j].second];
      if (is_dropped[index_[j].second] ||
          !Equal(runtime, earlier.first, entries[index_[i].second].first)) {
        continue;
      }
      earlier.second = std::move(entries[index_[i].second].second);
      is_dropped[index_[i].second] = true;
      break;
    }
  }
  std::vector<size_t> moved_to(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    if (is_dropped[i]) continue;
    moved_to[i] = items.size();
    items.push_back(std::move(entries[i]));
  }
  std::erase_if(index_, [&](const auto& slot) { return is_dropped[slot.second]; });
  for (auto& slot : index_) slot.second = moved_to[slot.second];
}

template <typename IsSame>
const Value* DictHeap::FindHashed(size_t hash, IsSame is_same) const {
  if (index_.empty()) {
    for (const auto& item : items) {
      if (is_same(item.first)) return &item.second;
    }
    return nullptr;
  }
  auto slot = std::lower_bound(index_.begin(), index_.end(), std::make_pair(hash, size_t{0}));
  for (; slot != index_.end() && slot->first == hash; ++slot) {
    if (is_same(items[slot->second].first)) return &items[slot->second].second;
  }
  return nullptr;
}

const Value* DictHeap::Find(Runtime& runtime, const Value& key) const {
  return FindHashed(Hash(runtime, key),
                    [&](const Value& other) { return Equal(runtime, other, key); });
}

const Value* DictHeap::Find(Runtime& runtime, std::string_view key) const {
  runtime.SpendLook(key.size());
  return FindHashed(std::hash<std::string_view>{}(key), [&](const Value& other) {
    if (!other.is_str() || other.bytes().size() != key.size()) return false;
    runtime.SpendLook(key.size());
    return other.bytes() == key;
  });
}

Text Object::Repr(Runtime&) const { return Text::Template(fmt::format("<{} object>", TypeName())); }

Value Object::Call(Runtime&, const CallArgs&) { Fail("'{}' object is not callable", TypeName()); }

std::string TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kStr:
      return value.text().is_markup ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kObject:
      return value.object().TypeName();
  }
  return "object";
}

bool Truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.int_value() != 0;
    case Kind::kFloat:
      return value.float_value() != 0;
    case Kind::kStr:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return !value.dict().items.empty();
    case Kind::kObject:
      return value.object().Truthy();
  }
  return true;
}

std::string Shown(std::string_view text) {
  if (text.size() <= kShownBytesMax) return ReprStr(text);
  size_t end = 0;
  while (end < kShownBytesMax) end += DecodeAt(text, end).num_bytes;
  return ReprStr(text.substr(0, end)) + "...";
}

std::string Shown(const Value& value) {
  switch (value.kind()) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return value.bool_value() ? "True" : "False";
    case Kind::kInt:
      return std::to_string(value.int_value());
    case Kind::kFloat:
      return ReprFloat(value.float_value());
    case Kind::kStr:
      return Shown(value.text().view());
    default:
      return fmt::format("<{}>", TypeName(value));
  }
}

bool Equal(Runtime& runtime, const Value& a, const Value& b) {
  runtime.Spend(1);
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.int_value() == b.int_value();
    return a.float_value() == b.float_value();
  }
  if (a.kind() != b.kind()) return false;
  if (a.heap() == b.heap()) return true;
  switch (a.kind()) {
    case Kind::kStr:
      if (a.bytes().size() != b.bytes().size()) return false;
      runtime.SpendLook(a.bytes().size());
      return a.bytes() == b.bytes();
    case Kind::kList:
    case Kind::kTuple:
      return a.items().size() == b.items().size() &&
             std::equal(a.items().begin(), a.items().end(), b.items().begin(),
                        [&](const Value& x, const Value& y) { return Equal(runtime, x, y); });
    case Kind::kDict: {
      if (a.dict().items.size() != b.dict().items.size()) return false;
      for (const auto& [key, value] : a.dict().items) {
        const Value* other = b.dict().Find(runtime, key);
        if (other == nullptr || !Equal(runtime, value, *other)) return false;
      }
      return true;
    }
    case Kind::kObject: {
      const auto* left = dynamic_cast<const Range*>(&a.object());
      const auto* right = dynamic_cast<const Range*>(&b.object());
      return left != nullptr && right != nullptr && *left == *right;
    }
    default:
      return true;  // None, and Python compares two undefined values as equal
  }
}

size_t Hash(Runtime& runtime, const Value& value) {
  runtime.Spend(1);
  switch (value.kind()) {
    case Kind::kStr:
      runtime.SpendLook(value.bytes().size());
      return std::hash<std::string_view>{}(value.text().view());
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return std::hash<double>{}(value.float_value());  // 1, 1.0 and True are one key
    case Kind::kTuple: {
      size_t hash = 0x9E3779B97F4A7C15u;
      for (const Value& item : value.items()) hash = hash * 31 + Hash(runtime, item);
      return hash;
    }
    case Kind::kList:
    case Kind::kDict:
      Fail("unhashable type: '{}'", TypeName(value));
    case Kind::kObject:
      return std::hash<const void*>{}(value.heap().get());
    default:
      return static_cast<size_t>(value.kind());
  }
}

int64_t LengthOf(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kStr:
      return static_cast<int64_t>(CountCodePoints(value.bytes()));
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().items.size());
    case Kind::kObject:
      return value.object().Length();
    default:
      return -1;
  }
}

std::unique_ptr<Iterator> Iterate(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return std::make_unique<EmptyIterator>();
    case Kind::kStr:
      return std::make_unique<StrIterator>(value);
    case Kind::kList:
    case Kind::kTuple:
      return std::make_unique<SequenceIterator>(value);
    case Kind::kDict:
      return std::make_unique<KeyIterator>(value);
    case Kind::kObject: {
      auto iterator = value.object().Iterate(std::static_pointer_cast<Object>(value.heap()));
      if (iterator) return iterator;
      break;
    }
    default:
      break;
  }
  Fail("'{}' object is not iterable", TypeName(value));
}

bool IsIterable(const Value& value) {
  if (value.is_none() || value.is_number()) return false;
  return !value.is_object() ||
         value.object().Iterate(std::static_pointer_cast<Object>(value.heap())) != nullptr;
}

std::vector<Value> ToVector(Runtime& runtime, const Value& value) {
  std::vector<Value> items;
  if (value.is_list() || value.is_tuple()) {
    runtime.SpendItems(0, value.items().size());
    return value.items();
  }
  const auto iterator = Iterate(value);
  for (Value item; iterator->Next(runtime, &item);) Append(runtime, &items, std::move(item));
  return items;
}

}  // namespace retort::jinja
