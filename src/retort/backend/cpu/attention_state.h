#pragma once

#if defined(__x86_64__)

#include <algorithm>
#include <cstring>

#include "retort/backend/cpu/tile_avx512.h"
#include "retort/backend/cpu/vector_kernels.h"

// Private to backend/cpu: the online softmax of a tile's rows, for kernels of AVX-512 and above
// that multiply in something else than f32.
namespace retort::cpu {

inline constexpr int kStateLanes = 16;
// The largest head whose state stays small; others take the vector kernel.
inline constexpr int kStateDimMax = 256;
// Below any difference of scores that leaves a weight.
inline constexpr float kLowestScore = -3.402823466e38f;

// 2^x for x <= 0 (NaN for NaN): 2^n · (1 + f·q(f)), x = n + f, |f| <= 1/2, q the polynomial of the
// least largest relative error, 2^-18.4: far below what rounding a weight to bf16 or to 14 bits
// loses. 2^0 is 1.
RETORT_AVX512 RETORT_INLINE __m512 Exp2(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-200.0f), x);  // -inf − -inf would be NaN
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(x, n);
  __m512 p = _mm512_set1_ps(0.00958285861f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.0559064363f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.240240986f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.693124192f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

RETORT_AVX512 RETORT_INLINE float Exp2(float x) {
  return _mm512_cvtss_f32(Exp2(_mm512_set1_ps(x)));
}

// What a tile's rows have seen so far, relative to their largest scores.
struct SoftmaxState {
  float largest[kTileRowsMax];
  alignas(64) float sums[kTileRowsMax][kStateLanes];
  alignas(64) float outs[kTileRowsMax * kStateDimMax];  // row stride head_dim

  // `num_rows` that have seen nothing, and numbers up to `num_rows_read`.
  void Clear(int num_rows, int num_rows_read, int head_dim) {
    std::fill_n(largest, kTileRowsMax, kLowestScore);
    std::memset(sums, 0, static_cast<size_t>(num_rows) * sizeof sums[0]);
    std::memset(outs, 0, static_cast<size_t>(num_rows_read * head_dim) * sizeof(float));
  }
};

// Adds `part` to `total`: two parts of a softmax, each relative to its own largest score. A row
// that has seen nothing in a part must not notice it.
RETORT_AVX512 inline void MergeSoftmax(const SoftmaxState& part, int num_rows, int head_dim,
                                       SoftmaxState* total) {
  for (int row = 0; row < num_rows; ++row) {
    if (part.largest[row] == kLowestScore) continue;
    float* outs = total->outs + row * head_dim;
    const float* added = part.outs + row * head_dim;
    const float largest = std::max(part.largest[row], total->largest[row]);
    const __m512 added_factor = _mm512_set1_ps(Exp2(part.largest[row] - largest));
    const __m512 factor = _mm512_set1_ps(Exp2(total->largest[row] - largest));
    total->largest[row] = largest;
    _mm512_store_ps(total->sums[row],
                    _mm512_fmadd_ps(_mm512_load_ps(part.sums[row]), added_factor,
                                    _mm512_mul_ps(_mm512_load_ps(total->sums[row]), factor)));
    for (int d = 0; d < head_dim; d += kStateLanes) {
      _mm512_store_ps(outs + d, _mm512_fmadd_ps(_mm512_load_ps(added + d), added_factor,
                                                _mm512_mul_ps(_mm512_load_ps(outs + d), factor)));
    }
  }
}

RETORT_AVX512 inline void WriteSoftmax(const SoftmaxState& state, const AttendTile& tile) {
  for (int row = 0; row < tile.num_rows; ++row) {
    const __m512 sum = _mm512_set1_ps(_mm512_reduce_add_ps(_mm512_load_ps(state.sums[row])));
    for (int d = 0; d < tile.head_dim; d += kStateLanes) {
      _mm512_storeu_ps(tile.outs[row] + d,
                       _mm512_div_ps(_mm512_load_ps(state.outs + row * tile.head_dim + d), sum));
    }
  }
}

// Attends to a tile's pages in ascending order by attend_page(base, next), which adds keys
// [base, base + kPageTokens) to `state`; `next` are the keys that are wanted after them, or null.
// Segments are merged in ascending order; the rows' outputs are written. Rows of the states up to
// `num_rows_read` may be read and written.
template <typename AttendPage>
void AttendPages(const AttendTile& tile, int num_rows_read, SoftmaxState* state,
                 SoftmaxState* total, const AttendPage& attend_page) {
  const int32_t key_begin = *std::min_element(tile.key_begin, tile.key_begin + tile.num_rows);
  const int32_t key_end = *std::max_element(tile.key_end, tile.key_end + tile.num_rows);
  const int32_t block_begin = key_begin / kPageTokens * kPageTokens;
  bool has_total = false;
  state->Clear(tile.num_rows, num_rows_read, tile.head_dim);
  for (int32_t base = block_begin; base < key_end; base += kPageTokens) {
    if (base % kSegmentTokens == 0 && base > block_begin) {
      if (!has_total) total->Clear(tile.num_rows, num_rows_read, tile.head_dim);
      has_total = true;
      MergeSoftmax(*state, tile.num_rows, tile.head_dim, total);
      state->Clear(tile.num_rows, num_rows_read, tile.head_dim);
    }
    const int32_t next = base + kPageTokens;
    attend_page(base, next < key_end ? tile.KeysOfPage(next) : tile.next_keys);
  }
  if (has_total) MergeSoftmax(*state, tile.num_rows, tile.head_dim, total);
  WriteSoftmax(has_total ? *total : *state, tile);
}

}  // namespace retort::cpu

#endif
