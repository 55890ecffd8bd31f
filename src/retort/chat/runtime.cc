#include "retort/chat/runtime.h"

#include <algorithm>

namespace retort::jinja {
namespace {

constexpr size_t kTextBytesPerStep = 16;

// Walks by index over an object that has At().
class IndexIterator : public Iterator {
 public:
  explicit IndexIterator(std::shared_ptr<Object> object) : object_(std::move(object)) {}
  bool Next(Runtime&, Value* value) override {
    if (next_ >= object_->Length()) return false;
    *value = object_->At(next_++);
    return true;
  }

 private:
  std::shared_ptr<Object> object_;
  int64_t next_ = 0;
};

class FunctionIterator : public Iterator {
 public:
  FunctionIterator(std::shared_ptr<Object> keep, Generator::NextFunction& next)
      : keep_(std::move(keep)), next_(next) {}
  bool Next(Runtime& runtime, Value* value) override {
    DepthGuard guard(runtime);  // generators may be stacked on generators
    return next_(runtime, value);
  }

 private:
  std::shared_ptr<Object> keep_;
  Generator::NextFunction& next_;
};

class DictIterator : public Iterator {
 public:
  DictIterator(Value dict, DictView::What what) : dict_(std::move(dict)), what_(what) {}
  bool Next(Runtime&, Value* value) override {
    if (next_ >= dict_.dict().items.size()) return false;
    const auto& [key, item] = dict_.dict().items[next_++];
    switch (what_) {
      case DictView::What::kKeys:
        *value = key;
        break;
      case DictView::What::kValues:
        *value = item;
        break;
      case DictView::What::kItems:
        *value = Value::Tuple({key, item});
        break;
    }
    return true;
  }

 private:
  Value dict_;
  DictView::What what_;
  size_t next_ = 0;
};

}  // namespace

Runtime::~Runtime() {
  for (const auto& object : kept_) object->Clear();
}

void Runtime::Spend(uint64_t steps) {
  steps_ += steps;
  if (steps_ > options_.steps_max) {
    Throw(ErrorCode::kExhausted, "rendering took more than {} steps", options_.steps_max);
  }
}

void Runtime::SpendText(size_t num_bytes) {
  if (num_bytes > options_.text_bytes_max) {
    Throw(ErrorCode::kExhausted, "a text of {} bytes is longer than the {} allowed", num_bytes,
          options_.text_bytes_max);
  }
  Spend(1 + num_bytes / kTextBytesPerStep);
}

BoundArgs::BoundArgs(std::string_view function, const CallArgs& args,
                     std::initializer_list<std::string_view> names, size_t num_required)
    : function_(function) {
  if (args.positional.size() > names.size()) {
    Fail("{}() takes at most {} argument{} ({} given)", function, names.size(),
         names.size() == 1 ? "" : "s", args.positional.size());
  }
  for (size_t i = 0; i < args.positional.size(); ++i) values_[i] = &args.positional[i];
  for (const auto& [name, value] : args.named) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) Fail("{}() got an unexpected keyword argument '{}'", function, name);
    const Value*& slot = values_[static_cast<size_t>(at - names.begin())];
    if (slot != nullptr) Fail("{}() got multiple values for argument '{}'", function, name);
    slot = &value;
  }
  for (size_t i = 0; i < num_required; ++i) {
    if (values_[i] == nullptr) {
      Fail("{}() is missing the required argument '{}'", function, *(names.begin() + i));
    }
  }
}

int64_t BoundArgs::OrInt(size_t i, int64_t otherwise) const {
  if (!Has(i)) return otherwise;
  const Value& value = *values_[i];
  if (value.is_undefined()) Fail("{}", value.undefined_message());
  if (!value.is_integral()) {
    Fail("{}(): '{}' object cannot be interpreted as an integer", function_, TypeName(value));
  }
  return value.int_value();
}

const Text& BoundArgs::Str(size_t i) const {
  const Value& value = *values_[i];
  if (!value.is_str()) Fail("{}(): expected a str, got {}", function_, TypeName(value));
  return value.text();
}

std::string Range::Repr() const {
  if (step_ == 1) return fmt::format("range({}, {})", start_, stop_);
  return fmt::format("range({}, {}, {})", start_, stop_, step_);
}

int64_t Range::Length() const {
  if (step_ > 0 ? start_ >= stop_ : start_ <= stop_) return 0;
  const auto low = static_cast<uint64_t>(std::min(start_, stop_));
  const auto high = static_cast<uint64_t>(std::max(start_, stop_));
  const uint64_t step = step_ > 0 ? static_cast<uint64_t>(step_) : 0 - static_cast<uint64_t>(step_);
  const uint64_t length = (high - low - 1) / step + 1;
  return static_cast<int64_t>(std::min<uint64_t>(length, INT64_MAX));
}

std::unique_ptr<Iterator> Range::Iterate(const std::shared_ptr<Object>& self) {
  return std::make_unique<IndexIterator>(self);
}

bool Range::operator==(const Range& other) const {
  const int64_t length = Length();
  if (length != other.Length()) return false;
  return length == 0 || (start_ == other.start_ && (length == 1 || step_ == other.step_));
}

std::unique_ptr<Iterator> Generator::Iterate(const std::shared_ptr<Object>& self) {
  return std::make_unique<FunctionIterator>(self, next_);
}

std::string DictView::TypeName() const {
  switch (what_) {
    case What::kKeys:
      return "dict_keys";
    case What::kValues:
      return "dict_values";
    default:
      return "dict_items";
  }
}

std::string DictView::Repr() const {
  std::vector<Value> items;
  for (const auto& [key, value] : dict_.dict().items) {
    if (what_ == What::kItems) {
      items.push_back(Value::Tuple({key, value}));
    } else {
      items.push_back(what_ == What::kKeys ? key : value);
    }
  }
  return TypeName() + "(" + jinja::Repr(Value::List(std::move(items))) + ")";
}

std::unique_ptr<Iterator> DictView::Iterate(const std::shared_ptr<Object>&) {
  return std::make_unique<DictIterator>(dict_, what_);
}

std::string Namespace::Repr() const { return "<Namespace>"; }

bool Namespace::GetAttribute(Runtime&, std::string_view name, Value* value) {
  for (const auto& [key, attribute] : attributes_) {
    if (key == name) {
      *value = attribute;
      return true;
    }
  }
  return false;
}

void Namespace::SetAttribute(std::string_view name, Value value) {
  for (auto& [key, attribute] : attributes_) {
    if (key == name) {
      attribute = std::move(value);
      return;
    }
  }
  attributes_.emplace_back(std::string(name), std::move(value));
}

Value MakeList(Runtime& runtime, std::vector<Value> items) {
  runtime.Spend(1 + items.size());
  return Value::List(std::move(items));
}

}  // namespace retort::jinja
