#include "retort/backend/cpu/ops.h"
#include "retort/backend/cpu/parallel_rows.h"
#include "retort/backend/cpu/vector_kernels.h"

namespace retort::cpu {

void GatedActivation(Context& context, const Rows& gate_up, Activation activation,
                     const Rows& out) {
  const VectorKernels& kernels = KernelsOf(context.level);
  ForRows(context, out.rows, 4 * out.cols, [&](int64_t row) {
    const float* gate = gate_up.Row(row);
    kernels.gated_activation(gate, gate + out.cols, activation, out.cols, out.Row(row));
  });
}

void AccumulateRows(Context& context, const Rows& x, int64_t row_begin, int64_t row_end,
                    float* out) {
  const VectorKernels& kernels = KernelsOf(context.level);
  for (int64_t row = row_begin; row < row_end; ++row) kernels.add(x.Row(row), x.cols, out);
}

}  // namespace retort::cpu
