#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "retort/grammar/grammar.h"

namespace retort {

// Random texts of a grammar, as a model would write them that knows nothing but the masks: bytes
// and a few longer tokens, each drawn from those allowed. Builds its small vocabulary once.
class TextSampler {
 public:
  explicit TextSampler(std::shared_ptr<const Grammar> grammar);
  ~TextSampler();

  // After `bytes_max` the text is closed by the shortest way known. Nothing if there is none, or if
  // the walk comes to a state without a next token, which no grammar should have. The same for the
  // same seed. Throws Error{kExhausted} at the grammar's limits.
  std::optional<std::string> Sample(uint64_t seed, size_t bytes_max = 200) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace retort
