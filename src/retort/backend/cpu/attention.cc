#include <algorithm>
#include <cmath>
#include <vector>

#include "retort/backend/cpu/kv_values.h"
#include "retort/backend/cpu/ops.h"

namespace retort::cpu {
namespace {

// One query head over the keys [begin, end) of its sequence, in blocks that begin at multiples of
// kPageTokens: a running maximum and sum, corrected when a block raises the maximum.
void AttendHead(const float* query, const CpuKvCache& cache, const int32_t* pages, int layer,
                int kv_head, int32_t begin, int32_t end, float scale, float* out) {
  const KvSpec& spec = cache.spec();
  const int64_t head_dim = spec.head_dim;
  std::fill(out, out + head_dim, 0.0f);
  float running_max = -INFINITY;
  float sum = 0;
  for (int32_t block = begin / kPageTokens; block * kPageTokens < end; ++block) {
    const std::byte* keys = cache.HeadPage(pages[block], layer, false, kv_head);
    const std::byte* values = cache.HeadPage(pages[block], layer, true, kv_head);
    const int32_t first = std::max(begin - block * kPageTokens, 0);
    const int32_t last = std::min(end - block * kPageTokens, kPageTokens);
    float scores[kPageTokens];
    float block_max = running_max;
    for (int32_t token = first; token < last; ++token) {
      float score = 0;
      for (int64_t d = 0; d < head_dim; ++d) {
        score += query[d] * LoadKvValue(spec.format, keys, token * head_dim + d);
      }
      scores[token] = score * scale;
      block_max = std::max(block_max, scores[token]);
    }
    const float correction = std::exp(running_max - block_max);
    running_max = block_max;
    sum *= correction;
    for (int64_t d = 0; d < head_dim; ++d) out[d] *= correction;
    for (int32_t token = first; token < last; ++token) {
      const float weight = std::exp(scores[token] - running_max);
      sum += weight;
      for (int64_t d = 0; d < head_dim; ++d) {
        out[d] += weight * LoadKvValue(spec.format, values, token * head_dim + d);
      }
    }
  }
  for (int64_t d = 0; d < head_dim; ++d) out[d] /= sum;
}

}  // namespace

void Attend(Context& context, const Rows& q, const AttentionSpec& attention, const BatchPlan& plan,
            const CpuKvCache& cache, int layer, const Rows& out) {
  const KvSpec& spec = cache.spec();
  const int group = attention.num_heads / spec.num_kv_heads;
  for (int64_t s = 0; s < plan.num_sequences(); ++s) {
    const int32_t row_begin = plan.row_begin[s];
    const int64_t num_rows = plan.row_begin[s + 1] - row_begin;
    const int32_t* pages = plan.page_table.data() + s * plan.page_stride;
    context.pool.ParallelFor(num_rows * attention.num_heads, [&](int64_t chunk, int) {
      const int64_t row = row_begin + chunk / attention.num_heads;
      const int head = static_cast<int>(chunk % attention.num_heads);
      const int32_t end = plan.positions[row] + 1;
      const int32_t begin = attention.window > 0 ? std::max(0, end - attention.window) : 0;
      AttendHead(q.Row(row) + head * int64_t{spec.head_dim}, cache, pages, layer, head / group,
                 begin, end, attention.scale, out.Row(row) + head * int64_t{spec.head_dim});
    });
  }
}

}  // namespace retort::cpu
