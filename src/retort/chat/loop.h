#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "retort/chat/runtime.h"

namespace retort::jinja {

// What a template sees as `loop`.
class Loop : public Object {
 public:
  Loop(Runtime& runtime, const Value& items, int64_t depth)
      : Object(items.depth() + 1),
        runtime_(runtime),
        iterator_(jinja::Iterate(items)),
        length_(LengthOf(items)),
        has_content_(items.HasContent()),
        depth0_(depth) {}

  bool Advance() {
    previous_ = current_;
    if (next_) {
      current_ = std::move(next_);
      next_.reset();
    } else {
      Value value;
      if (!iterator_->Next(runtime_, &value)) return false;
      current_ = std::move(value);
    }
    ++index0_;
    return true;
  }
  const Value& current() const { return *current_; }
  int64_t depth0() const { return depth0_; }

  std::string TypeName() const override { return "LoopContext"; }
  Text Repr(Runtime&) const override {
    return Text::Template(fmt::format("<LoopContext {}/{}>", index0_ + 1, length_));
  }
  bool HasContent() const override { return has_content_; }
  bool is_callable() const override { return true; }
  bool GetAttribute(Runtime& runtime, std::string_view name, Value* value) override;
  Value Call(Runtime& runtime, const CallArgs& args) override {
    if (!recurse) Fail("The loop must have the 'recursive' marker to be called recursively.");
    const BoundArgs bound("loop", args, {"iterable"}, 1);
    return recurse(runtime, bound[0]);
  }
  void Clear() override {
    recurse = nullptr;
    iterator_.reset();
    for (auto* value : {&previous_, &current_, &next_, &changed_}) value->reset();
  }

  std::function<Value(Runtime&, const Value&)> recurse;
  std::weak_ptr<Loop> shared_from_loop;

 private:
  bool Peek() {
    if (next_) return true;
    Value value;
    if (!iterator_->Next(runtime_, &value)) return false;
    next_ = std::move(value);
    return true;
  }
  int64_t CountedLength() {
    if (length_ >= 0) return length_;
    std::vector<Value> rest;
    if (next_) rest.push_back(*next_);
    for (Value value; iterator_->Next(runtime_, &value);) {
      Append(runtime_, &rest, std::move(value));
    }
    next_.reset();
    length_ = index0_ + 1 + static_cast<int64_t>(rest.size());
    iterator_ = jinja::Iterate(runtime_.List(std::move(rest)));
    return length_;
  }
  Value Changed(Runtime& runtime, const CallArgs& args);
  Value Cycle(const CallArgs& args) const {
    if (args.positional.empty()) Fail("no items for cycling given");
    return args.positional[static_cast<size_t>(index0_) % args.positional.size()];
  }

  Runtime& runtime_;
  std::unique_ptr<Iterator> iterator_;
  int64_t length_;
  bool has_content_;
  int64_t depth0_;
  int64_t index0_ = -1;
  std::optional<Value> previous_;
  std::optional<Value> current_;
  std::optional<Value> next_;
  std::optional<Value> changed_;
};

}  // namespace retort::jinja
