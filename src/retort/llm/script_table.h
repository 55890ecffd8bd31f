#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "retort/llm/scripted_model.h"

namespace retort {

// A script with its patterns compiled. Const methods are thread-safe.
class ScriptTable {
 public:
  struct Match {
    const ScriptRule* rule = nullptr;      // null: the default reply
    std::vector<std::string_view> groups;  // of the prompt: the whole match, then its groups
  };

  // Throws Error{kInvalid} naming the rule and the place in its pattern.
  explicit ScriptTable(Script script);
  ~ScriptTable();

  const Script& script() const { return script_; }

  // The first rule that matches `text`, which must outlive the result. Throws Error{kInvalid} if a
  // pattern gives up on it.
  Match Find(std::string_view text) const;
  // Its reply with the placeholders filled.
  std::string Reply(const Match& match, std::string_view tag, uint64_t seed,
                    uint64_t prompt_digest) const;

 private:
  struct Pattern;
  Script script_;
  std::vector<std::unique_ptr<Pattern>> patterns_;  // null for ""
};

}  // namespace retort
