#include "retort/grammar/regex_anchors.h"

namespace retort::grammar {

Anchored Anchored::Plain(Regex r) {
  Anchored result;
  result.at[0][0] = r;
  return result;
}

Anchored Anchors::Union(const Anchored& a, const Anchored& b) {
  Anchored result;
  for (int s = 0; s < 2; ++s) {
    for (int e = 0; e < 2; ++e) result.at[s][e] = pool_->Or(a.at[s][e], b.at[s][e]);
  }
  return result;
}

Anchored Anchors::Concat(const Anchored& a, const Anchored& b) {
  if (a.plain() && b.plain()) return Anchored::Plain(pool_->Cat(a.at[0][0], b.at[0][0]));
  Anchored result;
  const auto add = [&](int s, int e, Regex r) { result.at[s][e] = pool_->Or(result.at[s][e], r); };
  for (int bits = 0; bits < 16; ++bits) {
    const int s1 = bits & 1, e1 = bits >> 1 & 1, s2 = bits >> 2 & 1, e2 = bits >> 3 & 1;
    const Regex x = a.at[s1][e1];
    const Regex y = b.at[s2][e2];
    if (x == kNothing || y == kNothing) continue;
    if (e1 == 0 && s2 == 0) {
      add(s1, e2, pool_->Cat(x, y));
    } else if (e1 == 1 && s2 == 0) {
      if (pool_->Nullable(y)) add(s1, 1, x);
    } else if (e1 == 0) {
      if (pool_->Nullable(x)) add(1, e2, y);
    } else if (pool_->Nullable(x) && pool_->Nullable(y)) {
      add(1, 1, kEpsilon);
    }
  }
  return result;
}

std::optional<Anchored> Anchors::Repeat(const Anchored& x, uint32_t min, uint32_t max) {
  if (x.plain()) return Anchored::Plain(pool_->Repeat(x.at[0][0], min, max));
  if (min == 1 && max == 1) return x;
  if (max == 0) return Anchored::Plain(kEpsilon);
  if (min == 0 && max == 1) return Union(x, Anchored::Plain(kEpsilon));
  if (max != kUnbounded || min > 1) return std::nullopt;
  // Anchored rounds can only be the first, the last, or empty.
  Anchored many = Concat(Concat(x, Anchored::Plain(pool_->Star(x.at[0][0]))), x);
  many = Union(many, x);
  return min == 0 ? Union(many, Anchored::Plain(kEpsilon)) : many;
}

}  // namespace retort::grammar
