#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "retort/backend/cpu/kv_values.h"
#include "retort/backend/cpu/ops.h"
#include "retort/backend/rope.h"

namespace retort::cpu {
namespace {

void Rotate(const float* cosines, const float* sines, size_t half, bool interleaved, float* head) {
  for (size_t i = 0; i < half; ++i) {
    float& first = head[interleaved ? 2 * i : i];
    float& second = head[interleaved ? 2 * i + 1 : i + half];
    const float x = first;
    const float y = second;
    first = x * cosines[i] - y * sines[i];
    second = y * cosines[i] + x * sines[i];
  }
}

}  // namespace

void RopeAndStoreKv(Context&, const Rows& qkv, int num_heads, const RopeSpec& rope,
                    const BatchPlan& plan, CpuKvCache& cache, int layer) {
  const KvSpec& spec = cache.spec();
  const size_t half = rope.inverse_frequencies.size();
  const auto head_dim = static_cast<int64_t>(spec.head_dim);
  std::vector<float> frequencies(half), cosines(half), sines(half);
  std::vector<float> key(static_cast<size_t>(head_dim));
  for (int64_t s = 0; s < plan.num_sequences(); ++s) {
    const int32_t prompt_tokens = plan.prompt_tokens.empty() ? 0 : plan.prompt_tokens[s];
    for (int32_t row = plan.row_begin[s]; row < plan.row_begin[s + 1]; ++row) {
      const int32_t position = plan.positions[row];
      DynamicInverseFrequencies(rope, std::max(position + 1, prompt_tokens), frequencies);
      for (size_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(position) * frequencies[i];
        cosines[i] = std::cos(angle) * rope.scale;
        sines[i] = std::sin(angle) * rope.scale;
      }
      float* heads = qkv.Row(row);
      for (int h = 0; h < num_heads; ++h) {
        Rotate(cosines.data(), sines.data(), half, rope.interleaved, heads + h * head_dim);
      }
      const int32_t page = plan.page_table[s * plan.page_stride + position / kPageTokens];
      const int64_t first = position % kPageTokens * head_dim;
      for (int g = 0; g < spec.num_kv_heads; ++g) {
        const float* from = heads + (num_heads + g) * head_dim;
        const float* values = from + spec.num_kv_heads * head_dim;
        std::copy(from, from + head_dim, key.begin());
        Rotate(cosines.data(), sines.data(), half, rope.interleaved, key.data());
        std::byte* key_page = cache.HeadPage(page, layer, false, g);
        std::byte* value_page = cache.HeadPage(page, layer, true, g);
        for (int64_t d = 0; d < head_dim; ++d) {
          StoreKvValue(spec.format, key_page, first + d, key[d]);
          StoreKvValue(spec.format, value_page, first + d, values[d]);
        }
      }
    }
  }
}

void CopyKvPage(CpuKvCache& cache, int32_t from_page, int32_t to_page, int num_tokens) {
  const KvSpec& spec = cache.spec();
  const size_t bytes =
      CpuKvCache::HeadPageBytes(spec) / kPageTokens * static_cast<size_t>(num_tokens);
  for (int layer = 0; layer < spec.num_layers; ++layer) {
    for (const bool is_value : {false, true}) {
      for (int g = 0; g < spec.num_kv_heads; ++g) {
        std::memmove(cache.HeadPage(to_page, layer, is_value, g),
                     cache.HeadPage(from_page, layer, is_value, g), bytes);
      }
    }
  }
}

}  // namespace retort::cpu
