#include <algorithm>
#include <cmath>
#include <numbers>

#include "retort/base/error.h"
#include "retort/models/decoder_spec.h"

// The arithmetic below is f32 in the reference's own order of operations: a frequency that differs
// in its last bit turns by 1e-5 at position 100, which is visible in f32 logits.
namespace retort {
namespace {

std::vector<float> BaseFrequencies(double theta, int dim) {
  std::vector<float> frequencies(static_cast<size_t>(dim) / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    frequencies[i] = 1.0f / static_cast<float>(std::pow(theta, double{exponent}));
  }
  return frequencies;
}

void ScaleLlama3(const RopeParameters& rope, std::vector<float>& frequencies) {
  const double context = static_cast<double>(rope.original_context_tokens);
  const double low_wavelength = context / rope.low_freq_factor;
  const double high_wavelength = context / rope.high_freq_factor;
  const float factor = static_cast<float>(rope.factor);
  for (float& frequency : frequencies) {
    const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
    if (wavelength > low_wavelength) {
      frequency /= factor;
    } else if (wavelength >= high_wavelength) {
      const float smooth =
          (static_cast<float>(context) / wavelength - static_cast<float>(rope.low_freq_factor)) /
          static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
      frequency = (1.0f - smooth) * frequency / factor + smooth * frequency;
    }
  }
}

// The dimension whose frequency turns `rotations` times over the first context.
double YarnDimension(const RopeParameters& rope, double rotations) {
  return rope.rotary_dim *
         std::log(static_cast<double>(rope.original_context_tokens) /
                  (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(rope.theta));
}

void ScaleYarn(const RopeParameters& rope, std::vector<float>& frequencies) {
  double low = YarnDimension(rope, rope.beta_fast);
  double high = YarnDimension(rope, rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, rope.rotary_dim - 1.0);
  if (low == high) high += 0.001;  // as the reference: no division by zero
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float ramp =
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float kept = 1.0f - std::clamp(ramp, 0.0f, 1.0f);
    const float turns = 1.0f / frequencies[i];
    const float interpolated = 1.0f / (static_cast<float>(rope.factor) * turns);
    frequencies[i] = interpolated * (1.0f - kept) + frequencies[i] * kept;
  }
}

double YarnMscale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

double YarnAttentionFactor(const RopeParameters& rope) {
  if (rope.attention_factor != 0.0) return rope.attention_factor;
  if (rope.mscale != 0.0 && rope.mscale_all_dim != 0.0) {
    return YarnMscale(rope.factor, rope.mscale) / YarnMscale(rope.factor, rope.mscale_all_dim);
  }
  return YarnMscale(rope.factor, 1.0);
}

}  // namespace

RopeSpec MakeRopeSpec(const RopeParameters& rope, const std::vector<float>& factors) {
  RopeSpec spec;
  spec.interleaved = rope.interleaved;
  spec.inverse_frequencies = BaseFrequencies(rope.theta, rope.rotary_dim);
  switch (rope.scaling) {
    case RopeScaling::kNone:
      break;
    case RopeScaling::kLinear:
      for (float& frequency : spec.inverse_frequencies) {
        frequency /= static_cast<float>(rope.factor);
      }
      break;
    case RopeScaling::kDynamic:
      spec.dynamic_context_tokens = rope.original_context_tokens;
      spec.dynamic_factor = rope.factor;
      spec.dynamic_theta = rope.theta;
      break;
    case RopeScaling::kLlama3:
      ScaleLlama3(rope, spec.inverse_frequencies);
      break;
    case RopeScaling::kYarn:
      ScaleYarn(rope, spec.inverse_frequencies);
      spec.scale = static_cast<float>(YarnAttentionFactor(rope));
      break;
  }
  if (factors.empty()) return spec;
  if (factors.size() != spec.inverse_frequencies.size()) {
    Throw(ErrorCode::kInternal, "{} RoPE factors for {} frequencies", factors.size(),
          spec.inverse_frequencies.size());
  }
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!std::isfinite(factors[i]) || factors[i] <= 0.0f) {
      Throw(ErrorCode::kCorrupt, "RoPE factor {} is {}, expected a positive number", i, factors[i]);
    }
    spec.inverse_frequencies[i] /= factors[i];
  }
  return spec;
}

int64_t RopeDomain(const RopeParameters& rope, int64_t num_prompt_tokens) {
  const bool rotated_for_length =
      rope.scaling == RopeScaling::kDynamic && num_prompt_tokens > rope.original_context_tokens;
  return rotated_for_length ? num_prompt_tokens : 0;
}

}  // namespace retort
