#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "retort/backend/rope.h"
#include "retort/base/error.h"
#include "retort/models/config_reader.h"
#include "retort/models/decoder_spec.h"
#include "retort/models/rope_config.h"

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

// Peng et al. 2023 (arXiv:2309.00071), sections 3.2 and 3.4, in doubles, as Hugging Face's
// transformers computes it for a config without an attention factor of its own.
struct Yarn {
  std::vector<double> inverse_frequencies;
  double attention_factor;
};

Yarn ReferenceYarn(int dim, double base, double factor, double context, double beta_fast,
                   double beta_slow) {
  const auto dim_of_rotations = [&](double rotations) {
    return dim * std::log(context / (rotations * 2 * M_PI)) / (2 * std::log(base));
  };
  const double low = std::max(std::floor(dim_of_rotations(beta_fast)), 0.0);
  const double high = std::min(std::ceil(dim_of_rotations(beta_slow)), dim - 1.0);
  Yarn yarn{{}, 0.1 * std::log(factor) + 1.0};
  for (int i = 0; i < dim / 2; ++i) {
    const double extrapolated = std::pow(base, -2.0 * i / dim);
    const double interpolated = extrapolated / factor;
    const double ramp = std::min(std::max((i - low) / (high - low), 0.0), 1.0);
    yarn.inverse_frequencies.push_back(interpolated * ramp + extrapolated * (1 - ramp));
  }
  return yarn;
}

// GGUF's attn_factor multiplies what YaRN itself scales by.
TEST(RopeFromGguf, YarnIsThatOfThePaperTimesAttnFactor) {
  for (const double attn_factor : {0.0, 1.0, 0.8, 1.25}) {  // 0: the file does not say
    Json metadata = {{"llama.context_length", 32768},
                     {"llama.rope.freq_base", 500000.0},
                     {"llama.rope.dimension_count", 64},
                     {"llama.rope.scaling.type", "yarn"},
                     {"llama.rope.scaling.factor", 8.0},
                     {"llama.rope.scaling.original_context_length", 4096},
                     {"llama.rope.scaling.yarn_beta_fast", 24.0},
                     {"llama.rope.scaling.yarn_beta_slow", 2.0}};
    if (attn_factor > 0) metadata["llama.rope.scaling.attn_factor"] = attn_factor;
    const RopeSpec spec =
        MakeRopeSpec(RopeFromGguf(ConfigReader(metadata, "test", "llama."), 64), {});
    const Yarn yarn = ReferenceYarn(64, 500000.0, 8.0, 4096, 24.0, 2.0);
    const double times = attn_factor > 0 ? attn_factor : 1.0;
    EXPECT_NEAR(spec.scale, times * yarn.attention_factor, 1e-6) << attn_factor;
    EXPECT_TRUE(spec.interleaved);
    ASSERT_EQ(spec.inverse_frequencies.size(), yarn.inverse_frequencies.size());
    for (size_t i = 0; i < yarn.inverse_frequencies.size(); ++i) {
      EXPECT_NEAR(spec.inverse_frequencies[i] / yarn.inverse_frequencies[i], 1.0, 1e-5) << i;
    }
  }
}

// The same numbers under the names of config.json, with what is implied left out.
TEST(RopeFromHf, YarnIsThatOfThePaper) {
  const Json stated = {{"max_position_embeddings", 32768},
                       {"rope_theta", 500000.0},
                       {"rope_scaling",
                        {{"rope_type", "yarn"},
                         {"factor", 8.0},
                         {"beta_fast", 24.0},
                         {"beta_slow", 2.0},
                         {"original_max_position_embeddings", 4096}}}};
  Json implied = stated;
  implied["rope_scaling"].erase("factor");  // 32768 / 4096
  Json inside = stated;
  inside.erase("rope_theta");
  inside["rope_scaling"]["rope_theta"] = 500000.0;
  const Yarn yarn = ReferenceYarn(64, 500000.0, 8.0, 4096, 24.0, 2.0);
  for (const Json& config : {stated, implied, inside}) {
    const RopeSpec spec = MakeRopeSpec(RopeFromHf(ConfigReader(config, "test"), 64), {});
    EXPECT_NEAR(spec.scale, yarn.attention_factor, 1e-6);
    for (size_t i = 0; i < yarn.inverse_frequencies.size(); ++i) {
      EXPECT_NEAR(spec.inverse_frequencies[i] / yarn.inverse_frequencies[i], 1.0, 1e-5) << i;
    }
  }
  Json whole = stated;
  whole["rope_scaling"]["truncate"] = false;
  EXPECT_FALSE(RopeFromHf(ConfigReader(whole, "test"), 64).truncate);
  EXPECT_TRUE(RopeFromHf(ConfigReader(stated, "test"), 64).truncate);
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
