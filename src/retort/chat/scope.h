#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "retort/chat/value.h"

namespace retort::jinja {

class Scope;
using ScopePtr = std::shared_ptr<Scope>;

// Variables of one block of a template. An Object only so that a Runtime can keep and clear it:
// macros refer to the scopes around them, and those to the macros.
class Scope : public Object {
 public:
  explicit Scope(ScopePtr parent) : parent_(std::move(parent)) {}
  std::string TypeName() const override { return "scope"; }

  const ScopePtr& parent() const { return parent_; }
  // The value of a name in this scope alone, or null.
  const Value* Find(int name_id) const {
    for (const auto& [id, value] : variables_) {
      if (id == name_id) return &value;
    }
    return nullptr;
  }
  void Set(int name_id, Value value) {
    for (auto& [id, variable] : variables_) {
      if (id == name_id) {
        variable = std::move(value);
        return;
      }
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
