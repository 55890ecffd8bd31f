#pragma once

#include <array>
#include <initializer_list>
#include <optional>

#include "retort/chat/template.h"
#include "retort/chat/value.h"

namespace retort::jinja {

// What one render owns: its budget, its clock, and the objects that may refer to each other in a
// cycle.
class Runtime {
 public:
  explicit Runtime(const RenderOptions& options) : options_(options) {}
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Counts work against the budget. Throws Error{kExhausted}.
  void Spend(uint64_t steps);
  // Counts a text of this size about to be made, and checks it against the longest allowed.
  void SpendText(size_t num_bytes);
  Value Str(Text text) {
    SpendText(text.size());
    return Value::Str(std::move(text));
  }

  const RenderOptions& options() const { return options_; }

  // Keeps `object` until the end of the render, then clears it: for what a template can tie in a
  // knot.
  void Keep(std::shared_ptr<Object> object) { kept_.push_back(std::move(object)); }

  // Nesting of evaluation. See DepthGuard.
  int depth = 0;

 private:
  const RenderOptions& options_;
  uint64_t steps_ = 0;
  std::vector<std::shared_ptr<Object>> kept_;
};

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
  std::string Repr() const override;
  bool Truthy() const override { return Length() > 0; }
  int64_t Length() const override;
  bool is_sequence() const override { return true; }
  Value At(int64_t index) const override { return Value::Int(start_ + index * step_); }
  std::unique_ptr<Iterator> Iterate(const std::shared_ptr<Object>& self) override;
  bool operator==(const Range& other) const;

 private:
  int64_t start_, stop_, step_;
};

// A generator: can be walked once.
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

 private:
  std::string type_name_;
  NextFunction next_;
  bool has_content_;
};

// dict.keys(), dict.values(), dict.items().
class DictView : public Object {
 public:
  enum class What { kKeys, kValues, kItems };
  DictView(Value dict, What what) : Object(dict.depth() + 1), dict_(std::move(dict)), what_(what) {}
  std::string TypeName() const override;
  std::string Repr() const override;
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
  std::string Repr() const override;
  bool HasContent() const override { return true; }
  bool GetAttribute(Runtime&, std::string_view name, Value* value) override;
  void SetAttribute(std::string_view name, Value value);
  void Clear() override { attributes_.clear(); }

 private:
  std::vector<std::pair<std::string, Value>> attributes_;
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
  std::string Repr() const override { return fmt::format("<{} {}>", type_name_, name_); }
  bool is_callable() const override { return true; }
  Value Call(Runtime& runtime, const CallArgs& args) override { return body_(runtime, args); }

 private:
  std::string type_name_;
  std::string name_;
  Body body_;
};

// Makes a list value, counting its items as work.
Value MakeList(Runtime& runtime, std::vector<Value> items);

}  // namespace retort::jinja
