#pragma once

#include <optional>

#include "retort/grammar/regex_pool.h"

namespace retort::grammar {

// A pattern with anchors, sorted by what it demands of its surroundings:
// at[s][e]: matches that must begin at the start of the text (s) and end at its end (e).
struct Anchored {
  Regex at[2][2] = {{kNothing, kNothing}, {kNothing, kNothing}};

  static Anchored Plain(Regex r);
  bool plain() const {
    return at[0][1] == kNothing && at[1][0] == kNothing && at[1][1] == kNothing;
  }
};

// Their operations, in a pool.
class Anchors {
 public:
  explicit Anchors(RegexPool* pool) : pool_(pool) {}

  Anchored Union(const Anchored& a, const Anchored& b);
  // A part that must end at the text's end leaves nothing for what follows, and so on.
  Anchored Concat(const Anchored& a, const Anchored& b);
  // nullopt: an anchor inside a counted repeat.
  std::optional<Anchored> Repeat(const Anchored& x, uint32_t min, uint32_t max);

 private:
  RegexPool* pool_;
};

}  // namespace retort::grammar
