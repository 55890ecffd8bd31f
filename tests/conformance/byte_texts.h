#pragma once

// Texts judged through masks whose tokens are single bytes.

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "retort/grammar/constraint.h"
#include "retort/grammar/vocabulary.h"

namespace retort {

// Token i is byte i, token 256 ends.
inline std::shared_ptr<const grammar::Vocabulary> ByteVocabulary() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(std::string(1, static_cast<char>(byte)));
  tokens.push_back("<end>");
  return std::make_shared<const grammar::Vocabulary>(std::move(tokens), std::vector<int32_t>{256});
}

// Of a constraint over ByteVocabulary(): whether the whole text is in its language.
inline bool Accepts(const Constraint& constraint, std::string_view text) {
  ConstraintState state = constraint.Start();
  for (const char c : text) {
    if (!state.Commit(static_cast<uint8_t>(c))) return false;
  }
  return state.IsComplete();
}

}  // namespace retort
