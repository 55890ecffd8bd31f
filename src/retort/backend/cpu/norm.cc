#include "retort/backend/cpu/ops.h"
#include "retort/backend/cpu/parallel_rows.h"
#include "retort/backend/cpu/vector_kernels.h"

namespace retort::cpu {

void RmsNorm(Context& context, const Rows& x, const float* weight, float epsilon, const Rows& out) {
  const VectorKernels& kernels = KernelsOf(context.level);
  ForRows(context, x.rows, x.cols, [&](int64_t row) {
    kernels.rms_norm(x.Row(row), weight, epsilon, x.cols, out.Row(row));
  });
}

}  // namespace retort::cpu
