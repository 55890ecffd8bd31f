#include <algorithm>

#include "retort/backend/cpu/ops.h"
#include "retort/backend/cpu/parallel_rows.h"
#include "retort/backend/cpu/vector_kernels.h"

namespace retort::cpu {

void RopeAndStoreKv(Context& context, const Rows& qkv, int num_heads, const RopeSpec& rope,
                    const CpuBatch& batch, const CpuKvCache& cache, int layer) {
  const VectorKernels& kernels = KernelsOf(context.level);
  const BatchPlan& plan = batch.plan;
  const KvSpec& spec = cache.spec();
  const RopeTables::Table& table = batch.rope_tables.Of(rope, plan);
  const auto half = static_cast<int64_t>(rope.inverse_frequencies.size());
  const int64_t head_dim = spec.head_dim;
  ForRows(context, qkv.rows, qkv.cols, [&](int64_t row) {
    const int32_t position = plan.positions[row];
    const int64_t sequence = batch.sequence_of[row];
    const int32_t page = plan.page_table[sequence * plan.page_stride + position / kPageTokens];
    const auto rotate = [&](float* head) {
      kernels.rotate(table.Cosines(row), table.Sines(row), rope.interleaved, half, head);
    };
    float* queries = qkv.Row(row);
    for (int h = 0; h < num_heads; ++h) rotate(queries + h * head_dim);
    const float* keys = queries + num_heads * head_dim;
    const float* values = keys + spec.num_kv_heads * head_dim;
    for (int g = 0; g < spec.num_kv_heads; ++g) {
      float key[kHeadDimMax];
      std::copy_n(keys + g * head_dim, head_dim, key);
      rotate(key);
      cache.Store(page, layer, g, position % kPageTokens, key, values + g * head_dim);
    }
  });
}

}  // namespace retort::cpu
