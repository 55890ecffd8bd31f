#include <cmath>

#include "retort/backend/cpu/ops.h"

namespace retort::cpu {

void RmsNorm(Context& context, const Rows& x, const float* weight, float epsilon, const Rows& out) {
  context.pool.ParallelFor(x.rows, [&](int64_t row, int) {
    const float* from = x.Row(row);
    float* to = out.Row(row);
    double squares = 0;
    for (int64_t i = 0; i < x.cols; ++i) squares += double{from[i]} * double{from[i]};
    const auto factor = static_cast<float>(
        1.0 / std::sqrt(squares / static_cast<double>(x.cols) + double{epsilon}));
    for (int64_t i = 0; i < x.cols; ++i) to[i] = from[i] * factor * weight[i];
  });
}

}  // namespace retort::cpu
