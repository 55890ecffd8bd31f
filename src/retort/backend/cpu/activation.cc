#include <cmath>

#include "retort/backend/cpu/ops.h"

namespace retort::cpu {
namespace {

float Activate(Activation activation, float x) {
  constexpr float kSqrtHalf = 0.70710678118654752f;
  constexpr float kSqrtTwoOverPi = 0.79788456080286536f;
  switch (activation) {
    case Activation::kSilu:
      return x / (1.0f + std::exp(-x));
    case Activation::kGeluTanh:
      return 0.5f * x * (1.0f + std::tanh(kSqrtTwoOverPi * (x + 0.044715f * x * x * x)));
    case Activation::kGeluErf:
      return 0.5f * x * (1.0f + std::erf(x * kSqrtHalf));
  }
  return x;
}

}  // namespace

void GatedActivation(Context& context, const Rows& gate_up, Activation activation,
                     const Rows& out) {
  context.pool.ParallelFor(out.rows, [&](int64_t row, int) {
    const float* gate = gate_up.Row(row);
    const float* up = gate + out.cols;
    float* to = out.Row(row);
    for (int64_t i = 0; i < out.cols; ++i) to[i] = Activate(activation, gate[i]) * up[i];
  });
}

void AccumulateRows(const Rows& x, int64_t row_begin, int64_t row_end, float* out) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* from = x.Row(row);
    for (int64_t i = 0; i < x.cols; ++i) out[i] += from[i];
  }
}

}  // namespace retort::cpu
