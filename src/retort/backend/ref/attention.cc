#include <algorithm>
#include <cmath>
#include <vector>

#include "retort/backend/ref/ref_memory.h"

namespace retort::ref {
namespace {

// Keys or values of one head at the positions [0, position_end) of sequence s: [position, D].
std::vector<float> Gather(const RefKvCache& cache, bool is_value, const BatchPlan& plan, int64_t s,
                          int layer, int kv_head, int32_t position_end) {
  const int head_dim = cache.spec().head_dim;
  std::vector<float> rows(static_cast<size_t>(position_end) * static_cast<size_t>(head_dim));
  for (int32_t position = 0; position < position_end; ++position) {
    const int32_t page = plan.page_table[s * plan.page_stride + position / kPageTokens];
    cache.Read(is_value, page, layer, position % kPageTokens, kv_head,
               rows.data() + int64_t{position} * head_dim);
  }
  return rows;
}

// One query over the keys [begin, end).
void AttendRow(const float* query, const float* keys, const float* values, int32_t begin,
               int32_t end, int head_dim, float scale, float* out) {
  std::vector<double> weights(static_cast<size_t>(end - begin));
  double score_max = -INFINITY;
  for (int32_t j = begin; j < end; ++j) {
    double score = 0;
    for (int d = 0; d < head_dim; ++d) {
      score += double{query[d]} * double{keys[int64_t{j} * head_dim + d]};
    }
    weights[j - begin] = score * scale;
    score_max = std::max(score_max, weights[j - begin]);
  }
  double sum = 0;
  for (double& weight : weights) sum += weight = std::exp(weight - score_max);
  for (int d = 0; d < head_dim; ++d) {
    double value = 0;
    for (int32_t j = begin; j < end; ++j) {
      value += weights[j - begin] * double{values[int64_t{j} * head_dim + d]};
    }
    out[d] = static_cast<float>(value / sum);
  }
}

}  // namespace

void Attend(const Matrix& q, const AttentionSpec& attention, const BatchPlan& plan,
            const RefKvCache& cache, int layer, const Matrix& out) {
  const KvSpec& spec = cache.spec();
  const int group = attention.num_heads / spec.num_kv_heads;
  for (int64_t s = 0; s < plan.num_sequences(); ++s) {
    int32_t position_end = 0;
    for (int32_t row = plan.row_begin[s]; row < plan.row_begin[s + 1]; ++row) {
      position_end = std::max(position_end, plan.positions[row] + 1);
    }
    for (int g = 0; g < spec.num_kv_heads; ++g) {
      const auto keys = Gather(cache, false, plan, s, layer, g, position_end);
      const auto values = Gather(cache, true, plan, s, layer, g, position_end);
      for (int32_t row = plan.row_begin[s]; row < plan.row_begin[s + 1]; ++row) {
        const int32_t end = plan.positions[row] + 1;
        const int32_t begin = attention.window > 0 ? std::max(0, end - attention.window) : 0;
        for (int h = g * group; h < (g + 1) * group; ++h) {
          AttendRow(RowData(q, row) + int64_t{h} * spec.head_dim, keys.data(), values.data(), begin,
                    end, spec.head_dim, attention.scale,
                    RowData(out, row) + int64_t{h} * spec.head_dim);
        }
      }
    }
  }
}

}  // namespace retort::ref
