#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "retort/backend/device.h"

namespace retort {

// Inverse frequencies of a dynamic RopeSpec for a row that is rotated for `num_tokens` tokens, into
// `out` (as many as spec.inverse_frequencies). With d = 2·out.size(), f = dynamic_factor and c =
// dynamic_context_tokens: base = theta · (f·n/c − (f − 1))^(d/(d−2)) for n > c, inverse frequency i
// is base^(−2i/d). Each is rounded to f32 where the reference implementation rounds.
inline void DynamicInverseFrequencies(const RopeSpec& spec, int64_t num_tokens,
                                      std::span<float> out) {
  if (spec.dynamic_context_tokens <= 0 || num_tokens <= spec.dynamic_context_tokens) {
    std::copy(spec.inverse_frequencies.begin(), spec.inverse_frequencies.end(), out.begin());
    return;
  }
  const float dim = 2.0f * static_cast<float>(out.size());
  const float factor = static_cast<float>(spec.dynamic_factor);
  const float stretch =
      factor * static_cast<float>(num_tokens) / static_cast<float>(spec.dynamic_context_tokens) -
      static_cast<float>(spec.dynamic_factor - 1.0);
  const float growth = static_cast<float>(std::pow(double{stretch}, dim / (dim - 2.0)));
  const float base = static_cast<float>(spec.dynamic_theta) * growth;
  for (size_t i = 0; i < out.size(); ++i) {
    const float exponent = 2.0f * static_cast<float>(i) / dim;
    out[i] = 1.0f / static_cast<float>(std::pow(double{base}, double{exponent}));
  }
}

}  // namespace retort
