#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <span>

#include "tests/golden/golden_files.h"
#include "tests/golden/golden_runner.h"

namespace retort::golden {

// A device of this build at one level, with the public data there. Skips, saying why, where this
// machine lacks the level or the data is absent.
class GoldenTest : public testing::TestWithParam<DeviceLevel> {
 protected:
  void SetUp() override;

  // Whether a model of 10^8 weights takes this level about 0.1 s a token.
  bool is_slow() const { return GetParam().level == "scalar"; }

  std::unique_ptr<Device> device_;
};

struct Difference {
  double max_abs = 0.0;
  double mean_abs = 0.0;
};

// Infinite, and a failure, if the sizes differ or there is nothing to compare.
Difference Compare(std::span<const float> found, std::span<const float> expected);

// docs/golden_tolerances.md: an f32 evaluation may be so many times further off than another's.
inline constexpr double kF32Times = 4.0;
// An f32 evaluation's largest error as a share of the values' standard deviation, where the golden
// does not state one.
inline constexpr double kF32Share = 4e-6;
// Below this share a stated largest error is luck: 16 units of f32's rounding.
inline constexpr double kF32ShareMin = 1e-6;

// How much further off a deeper model is than the three layers that share was measured on.
double DepthFactor(int num_layers);

// Largest error allowed to the f32 logits of a prompt.
double ExactBound(const GoldenPrompt& prompt, int num_layers);

// One instance of a suite per level of every device.
#define RETORT_INSTANTIATE_GOLDEN(Suite)                                        \
  INSTANTIATE_TEST_SUITE_P(Levels, Suite, testing::ValuesIn(AllDeviceLevels()), \
                           [](const auto& info) { return TestName(info.param); })

}  // namespace retort::golden
