#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "retort/chat/runtime.h"

namespace retort::jinja {

// A scope is searched name by name: so many of them count as a step.
inline constexpr size_t kNamesPerStep = 16;

class Scope;
using ScopePtr = std::shared_ptr<Scope>;

// Variables of one block of a template. An Object only so that a Runtime can keep and clear it:
// macros refer to the scopes around them, and those to the macros.
class Scope : public Object {
 public:
  explicit Scope(ScopePtr parent) : parent_(std::move(parent)) {}
  std::string TypeName() const override { return "scope"; }

  const ScopePtr& parent() const { return parent_; }
  size_t size() const { return variables_.size(); }
  // The value of a name in this scope alone, or null.
  const Value* Find(int name_id) const {
    for (const auto& [id, value] : variables_) {
      if (id == name_id) return &value;
    }
    return nullptr;
  }
  void Set(Runtime& runtime, int name_id, Value value) {
    runtime.Spend(variables_.size() / kNamesPerStep);
    for (auto& [id, variable] : variables_) {
      if (id == name_id) {
        variable = std::move(value);
        return;
      }
    }
    if (variables_.size() == variables_.capacity()) {
      runtime.TakeFor(*this, (variables_.size() + 1) * sizeof(variables_[0]));
    }
    variables_.emplace_back(name_id, std::move(value));
  }
  void Clear() override { variables_.clear(); }

  bool is_kept = false;

 private:
  ScopePtr parent_;
  std::vector<std::pair<int, Value>> variables_;
};

}  // namespace retort::jinja
