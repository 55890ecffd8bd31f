#pragma once

#if defined(__x86_64__)

#include <bit>

#include "retort/backend/cpu/linear_kernels.h"
#include "retort/backend/cpu/tile_avx512.h"

// Private to backend/cpu: values of 16 bits with a scale, and their products by VPDPWSSD.
namespace retort::cpu {

// _mm512_dpwssd_epi32, for which GCC 12 moves every sum from one register to another and back.
RETORT_VNNI RETORT_INLINE void AddDots(__m512i a, __m512i b, __m512i* sum) {
  asm("vpdpwssd %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
}

struct Int16Scale {
  float scale = 0.0f;
  float inverse = 0.0f;
};

template <int kCodeMax = kInt16CodeMax>
Int16Scale Int16ScaleOf(float largest) {
  constexpr float kMax = kCodeMax;
  if (largest < kSmallestMagnitude) return {};  // not so what is no number
  return {largest / kMax, kMax / largest};
}

// 16 values · inverse, to nearest even; what is no number becomes the least code.
template <int kCodeMax = kInt16CodeMax>
RETORT_AVX512 RETORT_INLINE __m256i ToInt16(__m512 x, __m512 inverse) {
  const __m512i limit = _mm512_set1_epi32(kCodeMax);
  const __m512i codes = _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
  const __m512i low = _mm512_sub_epi32(_mm512_setzero_si512(), limit);
  return _mm512_cvtepi32_epi16(_mm512_max_epi32(low, _mm512_min_epi32(limit, codes)));
}

// `count` values to 16 bits, codes up to kCodeMax; those up to `num_codes`, a multiple of 16, are
// 0. Returns the scale.
template <int kCodeMax = kInt16CodeMax>
RETORT_AVX512 float QuantizeInt16(const float* x, int count, int num_codes, int16_t* codes) {
  constexpr int kStep = 16;
  const auto load = [=](int i) RETORT_AVX512 {
    const int rest = count - i;
    const auto lanes = rest >= kStep ? __mmask16{0xffff} : static_cast<__mmask16>((1u << rest) - 1);
    return _mm512_maskz_loadu_ps(lanes, x + i);
  };
  __m512i largest = _mm512_setzero_si512();
  for (int i = 0; i < count; i += kStep) {
    largest = _mm512_max_epu32(largest, _mm512_castps_si512(_mm512_abs_ps(load(i))));
  }
  const Int16Scale scale =
      Int16ScaleOf<kCodeMax>(std::bit_cast<float>(_mm512_reduce_max_epu32(largest)));
  const __m512 inverse = _mm512_set1_ps(scale.inverse);
  int i = 0;
  for (; i < count; i += kStep) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i), ToInt16<kCodeMax>(load(i), inverse));
  }
  for (; i < num_codes; i += kStep) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i), _mm256_setzero_si256());
  }
  return scale.scale;
}

}  // namespace retort::cpu

#endif
