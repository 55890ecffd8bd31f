#include "retort/backend/rope.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "retort/backend/ref/ref_memory.h"

namespace retort::ref {
namespace {

void Rotate(const std::vector<double>& cosines, const std::vector<double>& sines, bool interleaved,
            float* head) {
  const size_t half = cosines.size();
  for (size_t i = 0; i < half; ++i) {
    float& first = head[interleaved ? 2 * i : i];
    float& second = head[interleaved ? 2 * i + 1 : i + half];
    const double x = first;
    const double y = second;
    first = static_cast<float>(x * cosines[i] - y * sines[i]);
    second = static_cast<float>(y * cosines[i] + x * sines[i]);
  }
}

}  // namespace

void RopeAndStoreKv(const Matrix& qkv, int num_heads, const RopeSpec& rope, const BatchPlan& plan,
                    RefKvCache& cache, int layer) {
  const KvSpec& spec = cache.spec();
  const size_t half = rope.inverse_frequencies.size();
  std::vector<float> frequencies(half);
  std::vector<double> cosines(half);
  std::vector<double> sines(half);
  std::vector<float> key(static_cast<size_t>(spec.head_dim));
  for (int64_t s = 0; s < plan.num_sequences(); ++s) {
    for (int32_t row = plan.row_begin[s]; row < plan.row_begin[s + 1]; ++row) {
      const int32_t position = plan.positions[row];
      const int32_t prompt_tokens = plan.prompt_tokens.empty() ? 0 : plan.prompt_tokens[s];
      DynamicInverseFrequencies(rope, std::max(position + 1, prompt_tokens), frequencies);
      for (size_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(position) * frequencies[i];
        cosines[i] = std::cos(double{angle}) * rope.scale;
        sines[i] = std::sin(double{angle}) * rope.scale;
      }
      const int32_t page = plan.page_table[s * plan.page_stride + position / kPageTokens];
      const int token = position % kPageTokens;
      float* queries = RowData(qkv, row);
      const float* keys = queries + int64_t{num_heads} * spec.head_dim;
      const float* values = keys + int64_t{spec.num_kv_heads} * spec.head_dim;
      for (int h = 0; h < num_heads; ++h) {
        Rotate(cosines, sines, rope.interleaved, queries + int64_t{h} * spec.head_dim);
      }
      for (int g = 0; g < spec.num_kv_heads; ++g) {
        const float* from = keys + int64_t{g} * spec.head_dim;
        std::copy(from, from + spec.head_dim, key.begin());
        Rotate(cosines, sines, rope.interleaved, key.data());
        cache.Write(false, page, layer, token, g, key.data());
        cache.Write(true, page, layer, token, g, values + int64_t{g} * spec.head_dim);
      }
    }
  }
}

}  // namespace retort::ref
