#include "tests/golden/golden_fixture.h"

#include <algorithm>
#include <cmath>

namespace retort::golden {

void GoldenTest::SetUp() {
  if (!GetParam().missing.empty()) {
    GTEST_SKIP() << GetParam().device << " level " << GetParam().level
                 << " cannot run on this machine: " << GetParam().missing;
  }
  if (!std::filesystem::exists(SharedData() / "goldens")) {
    GTEST_SKIP() << "no public data at " << SharedData() << " (set RETORT_SHARED)";
  }
  device_ = Open(GetParam());
}

Difference Compare(std::span<const float> found, std::span<const float> expected) {
  EXPECT_EQ(found.size(), expected.size());
  if (found.size() != expected.size() || found.empty()) return {INFINITY, INFINITY};
  Difference difference;
  for (size_t i = 0; i < found.size(); ++i) {
    const double error = std::abs(double{found[i]} - double{expected[i]});
    if (std::isnan(error)) return {INFINITY, INFINITY};
    difference.max_abs = std::max(difference.max_abs, error);
    difference.mean_abs += error;
  }
  difference.mean_abs /= static_cast<double>(found.size());
  return difference;
}

double DepthFactor(int num_layers) { return std::max(1.0, std::sqrt(num_layers / 3.0)); }

double ExactBound(const GoldenPrompt& prompt, int num_layers) {
  const double deviation = Deviation(prompt.logits);
  const double other = prompt.f32_max_abs > 0.0
                           ? std::max(prompt.f32_max_abs, kF32ShareMin * deviation)
                           : kF32Share * DepthFactor(num_layers) * deviation;
  return kF32Times * other;
}

}  // namespace retort::golden
