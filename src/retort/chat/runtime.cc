#include "retort/chat/runtime.h"

#include <algorithm>

namespace retort::jinja {
namespace {

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
  bool Next(Runtime& runtime, Value* value) override {
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
        *value = runtime.Tuple({key, item});
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

Heap::~Heap() {
  if (owner != nullptr) owner->GiveBack(num_bytes);
}

Runtime::~Runtime() {
  if (options_.cost != nullptr) *options_.cost = {steps_, peak_bytes_};
  for (const auto& object : kept_) object->Clear();
}

void Runtime::FailSteps() const {
  Throw(ErrorCode::kExhausted, "rendering took more than {} steps", options_.steps_max);
}

void Runtime::FailBytes() const {
  Throw(ErrorCode::kExhausted, "rendering holds values of more than {} bytes at once",
        options_.bytes_max);
}

void Runtime::FailStopped() const { Throw(ErrorCode::kCancelled, "stopped while rendering"); }

void Runtime::SpendText(size_t num_bytes) {
  if (num_bytes > options_.text_bytes_max) {
    Throw(ErrorCode::kExhausted, "a text of {} bytes is longer than the {} allowed", num_bytes,
          options_.text_bytes_max);
  }
  SpendLook(num_bytes);
}

void Runtime::SpendItems(size_t size, size_t num_more) {
  if (size > kRenderItemsMax || num_more > kRenderItemsMax - size) {
    Throw(ErrorCode::kExhausted, "a list is longer than the {} items allowed", kRenderItemsMax);
  }
  Spend(num_more);
}

Value Runtime::StrBuilt(Text text) {
  const uint64_t num_bytes = text.memory_bytes();
  return Value(Kind::kStr, Make<StrHeap>(num_bytes, std::move(text)));
}

Value Runtime::Sequence(Kind kind, std::vector<Value> items, bool is_group) {
  const uint64_t num_bytes = items.size() * sizeof(Value);
  return Value(kind, Make<SequenceHeap>(num_bytes, std::move(items), is_group));
}

Value Runtime::List(std::vector<Value> items) {
  return Sequence(Kind::kList, std::move(items), false);
}

Value Runtime::Tuple(std::vector<Value> items) {
  return Sequence(Kind::kTuple, std::move(items), false);
}

Value Runtime::Group(Value grouper, Value list) {
  return Sequence(Kind::kTuple, {std::move(grouper), std::move(list)}, true);
}

Value Runtime::Dict(Entries items) {
  SpendItems(0, items.size());
  // An entry, and its place in the index.
  const uint64_t num_bytes = items.size() * (sizeof(items[0]) + 2 * sizeof(size_t));
  return Value(Kind::kDict, Make<DictHeap>(num_bytes, *this, std::move(items)));
}

Value Runtime::Undefined(std::string message, bool is_member) {
  const uint64_t num_bytes = message.size();
  return Value(Kind::kUndefined, Make<MissingHeap>(num_bytes, std::move(message), is_member));
}

void TextBuilder::Count(size_t num_bytes) {
  const size_t bytes_max = runtime_.options().text_bytes_max;
  if (num_bytes > bytes_max - text_.size()) {
    Throw(ErrorCode::kExhausted, "a text of {} bytes and {} more is longer than the {} allowed",
          text_.size(), num_bytes, bytes_max);
  }
  units_ += kUnitsPerAppend + num_bytes;
  if (units_ >= Runtime::kTextBytesPerStep) {
    runtime_.Spend(units_ / Runtime::kTextBytesPerStep);
    units_ %= Runtime::kTextBytesPerStep;
  }
  held_.Take(num_bytes);
}

void TextBuilder::Fill(const Text& code_point, size_t times) {
  if (times == 0 || code_point.empty()) return;
  if (times > runtime_.options().text_bytes_max / code_point.size()) {
    Count(runtime_.options().text_bytes_max + 1);
  }
  Count(times * code_point.size());
  std::string bytes(code_point.view());
  if (bytes.size() == 1) {
    bytes.assign(times, bytes[0]);
  } else {
    bytes.reserve(times * code_point.size());
    for (size_t i = 1; i < times; ++i) bytes += code_point.view();
  }
  const size_t num_runs = text_.runs().size();
  text_.Append(bytes, code_point.IsTemplateAt(0));
  CountRuns(num_runs);
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
    const auto at = std::find(names.begin(), names.end(), name.view());
    if (at == names.end()) {
      Fail("{}() got an unexpected keyword argument {}", function, Shown(name.view()));
    }
    const Value*& slot = values_[static_cast<size_t>(at - names.begin())];
    if (slot != nullptr) Fail("{}() got multiple values for argument '{}'", function, name.view());
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

Text Range::Repr(Runtime&) const {
  if (step_ == 1) return Text::Template(fmt::format("range({}, {})", start_, stop_));
  return Text::Template(fmt::format("range({}, {}, {})", start_, stop_, step_));
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

Value MakeGenerator(Runtime& runtime, std::string type_name, Generator::NextFunction next,
                    int depth, bool has_content) {
  auto generator =
      runtime.New<Generator>(std::move(type_name), std::move(next), depth, has_content);
  runtime.Keep(generator);
  return Value::Of(std::move(generator));
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

Text DictView::Repr(Runtime& runtime) const {
  std::vector<Value> items;
  for (const auto& [key, value] : dict_.dict().items) {
    if (what_ == What::kItems) {
      Append(runtime, &items, runtime.Tuple({key, value}));
    } else {
      Append(runtime, &items, what_ == What::kKeys ? key : value);
    }
  }
  const Value list = runtime.List(std::move(items));
  TextBuilder out(runtime);
  const bool is_template = !list.HasContent();
  out.Append(TypeName(), is_template);
  out.Append("(", is_template);
  out.Append(jinja::Repr(runtime, list));
  out.Append(")", is_template);
  return out.Take();
}

std::unique_ptr<Iterator> DictView::Iterate(const std::shared_ptr<Object>&) {
  return std::make_unique<DictIterator>(dict_, what_);
}

bool Namespace::GetAttribute(Runtime& runtime, std::string_view name, Value* value) {
  runtime.SpendLook(name.size());
  const auto found = attributes_.find(name);
  if (found == attributes_.end()) return false;
  *value = found->second;
  return true;
}

void Namespace::SetAttribute(Runtime& runtime, std::string_view name, Value value) {
  runtime.SpendText(name.size());
  if (attributes_.find(name) == attributes_.end()) {
    runtime.TakeFor(*this, name.size() + 2 * sizeof(*attributes_.begin()));
  }
  attributes_.insert_or_assign(std::string(name), std::move(value));
}

}  // namespace retort::jinja
