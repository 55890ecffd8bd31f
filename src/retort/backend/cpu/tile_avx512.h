#pragma once

#if defined(__x86_64__)

#include <cstring>

#include "retort/backend/cpu/decode_avx512.h"
#include "retort/backend/cpu/group_walk.h"

#define RETORT_VNNI \
  __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

// Private to backend/cpu: what tiles of rows by a panel's 32 outputs have in common, whose sums are
// two vectors a row.
namespace retort::cpu {

template <int kRows>
RETORT_AVX512 RETORT_INLINE void LoadSums(const float* sums, __m512 (&sum)[kRows][2]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = _mm512_loadu_ps(sums + r * kPanelOutputs);
    sum[r][1] = _mm512_loadu_ps(sums + r * kPanelOutputs + 16);
  }
}

template <int kRows>
RETORT_AVX512 RETORT_INLINE void StoreSums(const __m512 (&sum)[kRows][2], float* sums) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    _mm512_storeu_ps(sums + r * kPanelOutputs, sum[r][0]);
    _mm512_storeu_ps(sums + r * kPanelOutputs + 16, sum[r][1]);
  }
}

template <int kRows>
RETORT_AVX512 RETORT_INLINE void AddToSums(const __m512 (&sum)[kRows][2], float* sums) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    float* to = sums + r * kPanelOutputs;
    _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), sum[r][0]));
    _mm512_storeu_ps(to + 16, _mm512_add_ps(_mm512_loadu_ps(to + 16), sum[r][1]));
  }
}

// Four bytes, or two values of bf16, in each lane.
RETORT_AVX512 RETORT_INLINE __m512i Broadcast4(const void* from) {
  int32_t bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return _mm512_set1_epi32(bytes);
}

// The sum after a run of inputs that share a scale, whose integers add up to `dot`: the one order
// of f32 roundings that all tiles keep to.
template <bool kHasMin>
RETORT_AVX512 RETORT_INLINE __m512 FoldRun(__m512i dot, __m512 scale, __m512 min,
                                           const float* row_scale, const float* row_sum,
                                           __m512 sum) {
  sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(scale, _mm512_set1_ps(*row_scale)),
                        sum);
  if constexpr (kHasMin) sum = _mm512_fmadd_ps(min, _mm512_set1_ps(*row_sum), sum);
  return sum;
}

// Calls body(first row, rows) for as few tiles of about the same size as there can be.
template <typename Body>
void ForEvenTiles(int64_t num_rows, int64_t tile_rows_max, const Body& body) {
  const int64_t num_tiles = (num_rows + tile_rows_max - 1) / tile_rows_max;
  for (int64_t tile = 0, row = 0; tile < num_tiles; ++tile) {
    const int64_t count = (num_rows - row + num_tiles - tile - 1) / (num_tiles - tile);
    body(row, count);
    row += count;
  }
}

}  // namespace retort::cpu

#endif
