#pragma once

// What every fuzzer of this room does: compile hostile text, then take masks and tokens. Nothing
// but Error may come out, and what a mask allows must be what can be committed.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "retort/base/error.h"
#include "retort/grammar/constraint.h"
#include "retort/grammar/vocabulary.h"

namespace retort::grammar {

// Small, so that a hostile text costs little.
inline Limits FuzzLimits() {
  Limits limits;
  limits.regex_nodes_max = 20'000;
  limits.regex_row_entries_max = 200'000;
  limits.emptiness_steps_max = 2'000;
  limits.schema_steps_max = 20'000;
  limits.schema_regex_nodes_max = 20'000;
  limits.schema_disjuncts_max = 64;
  limits.configurations_max = 128;
  return limits;
}

inline std::shared_ptr<const Vocabulary> FuzzVocabulary() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(std::string(1, static_cast<char>(byte)));
  for (const char* text : {"\":", "\",\"", "{\"", "abc", "12", "true", "\\u00", "}}", ", "}) {
    tokens.push_back(text);
  }
  tokens.push_back("<end>");
  const auto end = static_cast<int32_t>(tokens.size() - 1);
  return std::make_shared<const Vocabulary>(std::move(tokens), std::vector<int32_t>{end});
}

// Which tokens are taken follows from the text itself, so that seeds are plain grammars.
inline int FuzzWalk(std::string_view text,
                    const std::function<std::shared_ptr<const Grammar>(uint32_t)>& compile) {
  static const auto vocabulary = FuzzVocabulary();
  uint32_t choice = 2166136261u;
  for (const char c : text) choice = (choice ^ static_cast<uint8_t>(c)) * 16777619u;
  try {
    const Constraint constraint(compile(choice), vocabulary);
    ConstraintState state = constraint.Start();
    std::vector<uint32_t> bits(constraint.num_mask_words());
    for (int step = 0; step < 12; ++step) {
      state.Mask(bits);
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id < vocabulary->size(); ++id) {
        const bool by_mask = bits[id >> 5] >> (id & 31) & 1;
        if (by_mask != state.Allows(id)) __builtin_trap();
        if (by_mask) allowed.push_back(id);
      }
      if (state.IsFinished()) break;
      if (allowed.empty()) __builtin_trap();  // a dead end
      choice = choice * 1664525u + 1013904223u;
      if (!state.Commit(allowed[(choice >> 8) % allowed.size()])) __builtin_trap();
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) __builtin_trap();
  }
  return 0;
}

}  // namespace retort::grammar
