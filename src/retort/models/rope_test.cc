#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "retort/backend/rope.h"
#include "retort/base/error.h"
#include "retort/models/decoder_spec.h"

namespace retort {
namespace {

RopeParameters Base(int dim) {
  RopeParameters rope;
  rope.rotary_dim = dim;
  return rope;
}

TEST(MakeRopeSpec, IsTheGeometricSeries) {
  const RopeSpec spec = MakeRopeSpec(Base(16), {});
  ASSERT_EQ(spec.inverse_frequencies.size(), 8u);
  for (int i = 0; i < 8; ++i) {
    // One rounding of the power and one of the quotient.
    const double expected = std::pow(10000.0, -i / 8.0);
    EXPECT_NEAR(spec.inverse_frequencies[i] / expected, 1.0, 3 * 0x1p-24);
  }
  EXPECT_EQ(spec.inverse_frequencies[0], 1.0f);
  EXPECT_EQ(spec.scale, 1.0f);
  EXPECT_EQ(spec.dynamic_context_tokens, 0);
}

TEST(MakeRopeSpec, LinearDividesEveryFrequency) {
  RopeParameters rope = Base(16);
  rope.scaling = RopeScaling::kLinear;
  rope.factor = 4.0;
  const RopeSpec plain = MakeRopeSpec(Base(16), {});
  const RopeSpec scaled = MakeRopeSpec(rope, {});
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(scaled.inverse_frequencies[i], plain.inverse_frequencies[i] / 4.0f);
  }
}

TEST(MakeRopeSpec, Llama3KeepsShortWavesAndDividesLongOnes) {
  RopeParameters rope = Base(16);
  rope.scaling = RopeScaling::kLlama3;
  rope.factor = 8.0;
  rope.original_context_tokens = 64;
  const RopeSpec plain = MakeRopeSpec(Base(16), {});
  const RopeSpec scaled = MakeRopeSpec(rope, {});
  for (int i = 0; i < 8; ++i) {
    const double wavelength = 2 * M_PI / plain.inverse_frequencies[i];
    const float ratio = plain.inverse_frequencies[i] / scaled.inverse_frequencies[i];
    if (wavelength < 64 / 4.0) {
      EXPECT_EQ(ratio, 1.0f) << i;
    } else if (wavelength > 64 / 1.0) {
      EXPECT_EQ(ratio, 8.0f) << i;
    }
  }
  // Of wavelengths 2π·10^(i/2) only the second (19.9) is between 16 and 64, where the ramp goes
  // from 8 to 1.
  const float ratio = plain.inverse_frequencies[1] / scaled.inverse_frequencies[1];
  const double smooth = (64 / (2 * M_PI * std::sqrt(10.0)) - 1.0) / 3.0;
  EXPECT_NEAR(ratio, 1.0 / ((1.0 - smooth) / 8.0 + smooth), 1e-5);
}

TEST(MakeRopeSpec, YarnRampsBetweenItsTwoDimensionsAndScalesScores) {
  RopeParameters rope = Base(16);
  rope.scaling = RopeScaling::kYarn;
  rope.factor = 4.0;
  rope.original_context_tokens = 64;
  const RopeSpec plain = MakeRopeSpec(Base(16), {});
  const RopeSpec scaled = MakeRopeSpec(rope, {});
  // Dimensions of 32 and 1 rotations: 16·ln(64/(32·2π))/(2·ln 10⁴) < 0 → 0, and 2.02 → 3.
  const double kept[] = {1.0, 2.0 / 3, 1.0 / 3, 0.0, 0.0, 0.0, 0.0, 0.0};
  for (int i = 0; i < 8; ++i) {
    EXPECT_NEAR(scaled.inverse_frequencies[i] / plain.inverse_frequencies[i],
                kept[i] + (1 - kept[i]) / 4, 1e-6)
        << i;
  }
  EXPECT_NEAR(scaled.scale, 0.1 * std::log(4.0) + 1.0, 1e-7);
  rope.attention_factor = 1.5;
  EXPECT_EQ(MakeRopeSpec(rope, {}).scale, 1.5f);
  rope.attention_factor = 0.0;
  rope.mscale = rope.mscale_all_dim = 0.707;
  EXPECT_EQ(MakeRopeSpec(rope, {}).scale, 1.0f);
}

TEST(MakeRopeSpec, FactorsOfTheCheckpointDivide) {
  const RopeSpec plain = MakeRopeSpec(Base(4), {});
  const RopeSpec divided = MakeRopeSpec(Base(4), {1.0f, 8.0f});
  EXPECT_EQ(divided.inverse_frequencies[0], plain.inverse_frequencies[0]);
  EXPECT_EQ(divided.inverse_frequencies[1], plain.inverse_frequencies[1] / 8.0f);
  for (const float bad : {0.0f, -1.0f, INFINITY, NAN}) {
    EXPECT_THROW(MakeRopeSpec(Base(4), {1.0f, bad}), Error) << bad;
  }
}

TEST(DynamicRope, StretchesOnlyBeyondTheFirstContext) {
  RopeParameters rope = Base(16);
  rope.scaling = RopeScaling::kDynamic;
  rope.factor = 2.0;
  rope.original_context_tokens = 64;
  const RopeSpec spec = MakeRopeSpec(rope, {});
  std::vector<float> at(8);
  DynamicInverseFrequencies(spec, 64, at);
  EXPECT_EQ(at, spec.inverse_frequencies);
  DynamicInverseFrequencies(spec, 128, at);
  const double base = 10000.0 * std::pow(2.0 * 128 / 64 - 1.0, 16.0 / 14.0);
  for (int i = 0; i < 8; ++i) EXPECT_NEAR(at[i] / std::pow(base, -i / 8.0), 1.0, 1e-6);

  EXPECT_EQ(RopeDomain(rope, 64), 0);
  EXPECT_EQ(RopeDomain(rope, 65), 65);
  rope.scaling = RopeScaling::kYarn;
  EXPECT_EQ(RopeDomain(rope, 65), 0);
}

}  // namespace
}  // namespace retort
