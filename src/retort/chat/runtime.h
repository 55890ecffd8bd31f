#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>
#include <optional>
#include <utility>

#include "retort/chat/template.h"
#include "retort/chat/value.h"

namespace retort::jinja {

// What one render owns: its budget, its clock, what it makes, and the objects that may refer to
// each other in a cycle.
class Runtime {
 public:
  using Entries = std::vector<std::pair<Value, Value>>;

  explicit Runtime(const RenderOptions& options) : options_(options) {}
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Counts work against the budget, and looks whether somebody asked to stop. Throws
  // Error{kExhausted} or {kCancelled}.
  void Spend(uint64_t steps) {
    if (steps > options_.steps_max - steps_) FailSteps();
    steps_ += steps;
    if (options_.stop.stop_requested()) FailStopped();
  }
  // Counts a look at a text of this size.
  void SpendLook(size_t num_bytes) { Spend(1 + num_bytes / kTextBytesPerStep); }
  // Counts memory about to be taken, and takes it off again.
  void TakeBytes(uint64_t num_bytes) {
    if (num_bytes > options_.bytes_max - bytes_) FailBytes();
    bytes_ += num_bytes;
    peak_bytes_ = std::max(peak_bytes_, bytes_);
  }
  void GiveBack(uint64_t num_bytes) { bytes_ -= num_bytes; }
  // Counts memory that `heap` is about to take, until the heap is gone.
  void TakeFor(Heap& heap, uint64_t num_bytes) {
    TakeBytes(num_bytes);
    heap.owner = this;
    heap.num_bytes += num_bytes;
  }
  // Counts a text of this size about to be made, and checks it against the longest allowed.
  void SpendText(size_t num_bytes);
  // Counts an item about to be put into a list of `size`, and checks that against the longest.
  void SpendItem(size_t size) { SpendItems(size, 1); }
  void SpendItems(size_t size, size_t num_more);

  Value Str(Text text) {
    SpendText(text.size());
    return StrBuilt(std::move(text));
  }
  Value Str(std::string_view template_text) {
    SpendText(template_text.size());
    return StrBuilt(Text::Template(std::string(template_text)));
  }
  // The same of a text that was counted as it grew (by a TextBuilder).
  Value StrBuilt(Text text);
  Value List(std::vector<Value> items);
  Value Tuple(std::vector<Value> items);
  Value Group(Value grouper, Value list);  // an element of what the filter groupby gives
  Value Dict(Entries items);               // a later equal key wins
  // Undefined, with the message of the error that using it raises. `is_member`: an attribute or an
  // element that a value lacks, not a name.
  Value Undefined(std::string message, bool is_member = false);
  template <typename T, typename... Args>
  std::shared_ptr<T> New(Args&&... args) {
    return Make<T>(0, std::forward<Args>(args)...);
  }

  const RenderOptions& options() const { return options_; }

  // Keeps `object` until the end of the render, then clears it: for what a template can tie in a
  // knot, or into a chain too long to be destroyed link by link.
  void Keep(std::shared_ptr<Object> object) {
    TakeBytes(sizeof object);
    kept_.push_back(std::move(object));
  }

  // Nesting of evaluation. See DepthGuard.
  int depth = 0;

  static constexpr size_t kTextBytesPerStep = 16;

 private:
  // A node's counters, and what allocators take for it and for what it points to.
  static constexpr uint64_t kNodeBytes = 64;

  // A node that holds `num_bytes` beside itself.
  template <typename T, typename... Args>
  std::shared_ptr<T> Make(uint64_t num_bytes, Args&&... args) {
    Spend(1);
    num_bytes += sizeof(T) + kNodeBytes;
    TakeBytes(num_bytes);
    auto node = std::make_shared<T>(std::forward<Args>(args)...);
    node->owner = this;
    node->num_bytes = num_bytes;
    return node;
  }

  [[noreturn]] void FailSteps() const;
  [[noreturn]] void FailBytes() const;
  [[noreturn]] void FailStopped() const;
  Value Sequence(Kind kind, std::vector<Value> items, bool is_group);

  const RenderOptions& options_;
  uint64_t steps_ = 0;
  uint64_t bytes_ = 0;
  uint64_t peak_bytes_ = 0;
  std::vector<std::shared_ptr<Object>> kept_;
};

// Memory counted for as long as it lives.
class HeldBytes {
 public:
  explicit HeldBytes(Runtime& runtime, uint64_t num_bytes = 0) : runtime_(runtime) {
    Take(num_bytes);
  }
  ~HeldBytes() { Release(); }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

  void Take(uint64_t num_bytes) {
    runtime_.TakeBytes(num_bytes);
    num_bytes_ += num_bytes;
  }
  void Release() { runtime_.GiveBack(std::exchange(num_bytes_, 0)); }

 private:
  Runtime& runtime_;
  uint64_t num_bytes_ = 0;
};

// A text that grows: each piece is counted before it is appended, and the whole is checked against
// the longest allowed.
class TextBuilder {
 public:
  explicit TextBuilder(Runtime& runtime) : runtime_(runtime), held_(runtime) {}

  void Append(std::string_view bytes, bool is_template) {
    Count(bytes.size());
    const size_t num_runs = text_.runs().size();
    text_.Append(bytes, is_template);
    CountRuns(num_runs);
  }
  void Append(const Text& text) { Append(text, 0, text.size()); }
  // Bytes [begin, end) of `text`.
  void Append(const Text& text, size_t begin, size_t end) {
    if (begin >= end) return;
    Count(end - begin);
    const size_t num_runs = text_.runs().size();
    text_.Append(text, begin, end);
    CountRuns(num_runs);
  }
  // One code point, many times.
  void Fill(const Text& code_point, size_t times);

  const Text& text() const { return text_; }
  Text Take(bool is_markup = false) {
    runtime_.Spend(1);
    held_.Release();
    text_.is_markup = is_markup;
    return std::move(text_);
  }

 private:
  static constexpr size_t kUnitsPerAppend = 4;  // of which a step has kTextBytesPerStep

  void Count(size_t num_bytes);
  void CountRuns(size_t num_before) {
    const size_t num_runs = text_.runs().size();
    if (num_runs != num_before) held_.Take((num_runs - num_before) * Text::kRunBytes);
  }

  Runtime& runtime_;
  HeldBytes held_;
  Text text_;
  size_t units_ = 0;  // of work not yet spent, less than a step
};

// Appends an item to a list under construction, and counts it.
inline void Append(Runtime& runtime, std::vector<Value>* items, Value item) {
  runtime.SpendItem(items->size());
  items->push_back(std::move(item));
}

// One level of evaluation, for as long as it lives.
class DepthGuard {
 public:
  explicit DepthGuard(Runtime& runtime) : runtime_(runtime) {
    if (++runtime_.depth > kRenderDepthMax) {
      --runtime_.depth;
      Throw(ErrorCode::kExhausted,
            "evaluation is nested deeper than {} levels (endless recursion?)", kRenderDepthMax);
    }
  }
  ~DepthGuard() { --runtime_.depth; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  Runtime& runtime_;
};

// Arguments of a function written here, bound to names as Python binds them.
class BoundArgs {
 public:
  static constexpr size_t kNumMax = 6;

  // Throws on too many arguments, an unknown name, a name given twice, or one of the first
  // `num_required` missing.
  BoundArgs(std::string_view function, const CallArgs& args,
            std::initializer_list<std::string_view> names, size_t num_required);

  bool Has(size_t i) const { return values_[i] != nullptr; }
  const Value& operator[](size_t i) const { return *values_[i]; }  // demands Has(i)
  Value Or(size_t i, const Value& otherwise) const { return Has(i) ? *values_[i] : otherwise; }
  bool OrBool(size_t i, bool otherwise) const { return Has(i) ? Truthy(*values_[i]) : otherwise; }
  int64_t OrInt(size_t i, int64_t otherwise) const;
  // The text of a str argument; other types are a TypeError.
  const Text& Str(size_t i) const;

 private:
  std::string_view function_;
  std::array<const Value*, kNumMax> values_{};
};

// range(start, stop, step).
class Range : public Object {
 public:
  Range(int64_t start, int64_t stop, int64_t step) : start_(start), stop_(stop), step_(step) {}
  std::string TypeName() const override { return "range"; }
  Text Repr(Runtime& runtime) const override;
  bool Truthy() const override { return Length() > 0; }
  int64_t Length() const override;
  bool is_sequence() const override { return true; }
  Value At(int64_t index) const override { return Value::Int(start_ + index * step_); }
  std::unique_ptr<Iterator> Iterate(const std::shared_ptr<Object>& self) override;
  bool operator==(const Range& other) const;

 private:
  int64_t start_, stop_, step_;
};

// A generator: can be walked once. Made by MakeGenerator.
class Generator : public Object {
 public:
  using NextFunction = std::function<bool(Runtime&, Value*)>;
  // `depth` is that of the deepest value that `next` holds.
  Generator(std::string type_name, NextFunction next, int depth, bool has_content)
      : Object(depth + 1),
        type_name_(std::move(type_name)),
        next_(std::move(next)),
        has_content_(has_content) {}
  std::string TypeName() const override { return type_name_; }
  bool HasContent() const override { return has_content_; }
  bool GetAttribute(Runtime&, std::string_view, Value*) override { return false; }
  std::unique_ptr<Iterator> Iterate(const std::shared_ptr<Object>& self) override;
  void Clear() override { next_ = nullptr; }

 private:
  std::string type_name_;
  NextFunction next_;
  bool has_content_;
};

// A generator, kept until the end of the render: what it gives may be deeper than what it was made
// of, so that its depth does not bound a chain of them.
Value MakeGenerator(Runtime& runtime, std::string type_name, Generator::NextFunction next,
                    int depth, bool has_content);

// dict.keys(), dict.values(), dict.items().
class DictView : public Object {
 public:
  enum class What { kKeys, kValues, kItems };
  DictView(Value dict, What what) : Object(dict.depth() + 1), dict_(std::move(dict)), what_(what) {}
  std::string TypeName() const override;
  Text Repr(Runtime& runtime) const override;
  bool HasContent() const override { return dict_.HasContent(); }
  bool Truthy() const override { return Length() > 0; }
  int64_t Length() const override { return LengthOf(dict_); }
  std::unique_ptr<Iterator> Iterate(const std::shared_ptr<Object>& self) override;

 private:
  Value dict_;
  What what_;
};

class Namespace : public Object {
 public:
  std::string TypeName() const override { return "Namespace"; }
  Text Repr(Runtime&) const override { return Text::Template("<Namespace>"); }
  bool HasContent() const override { return true; }
  bool GetAttribute(Runtime& runtime, std::string_view name, Value* value) override;
  void SetAttribute(Runtime& runtime, std::string_view name, Value value);
  void Clear() override { attributes_.clear(); }

 private:
  std::map<std::string, Value, std::less<>> attributes_;
};

// A function or a bound method written here.
class Function : public Object {
 public:
  using Body = std::function<Value(Runtime&, const CallArgs&)>;
  Function(std::string type_name, std::string name, Body body, int depth = 0)
      : Object(depth + 1),
        type_name_(std::move(type_name)),
        name_(std::move(name)),
        body_(std::move(body)) {}
  std::string TypeName() const override { return type_name_; }
  Text Repr(Runtime&) const override {
    return Text::Template(fmt::format("<{} {}>", type_name_, name_));
  }
  bool is_callable() const override { return true; }
  Value Call(Runtime& runtime, const CallArgs& args) override { return body_(runtime, args); }

 private:
  std::string type_name_;
  std::string name_;
  Body body_;
};

}  // namespace retort::jinja
