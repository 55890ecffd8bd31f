#pragma once

#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// GCC's own header reads a deliberately undefined value (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "retort/backend/cpu/group_layout.h"
#include "retort/tensor/float_bits.h"

#define RETORT_AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))

// Private to backend/cpu: one group of integers out of its planes, by AVX-512 F, BW, DQ and VL.
namespace retort::cpu {

// Bits 2 · quad and 2 · quad + 1 of each byte, moved to bits 4 and 5.
RETORT_AVX512 inline __m512i TopBits(__m512i v, int quad) {
  const __m512i mask = _mm512_set1_epi8(0x30);
  switch (quad) {
    case 0:
      return _mm512_and_si512(_mm512_slli_epi16(v, 4), mask);
    case 1:
      return _mm512_and_si512(_mm512_slli_epi16(v, 2), mask);
    case 2:
      return _mm512_and_si512(v, mask);
    default:
      return _mm512_and_si512(_mm512_srli_epi16(v, 2), mask);
  }
}

template <int kBits>
RETORT_AVX512 inline void UnpackPlanes(const std::byte* planes, __m512i zero, uint8_t* codes) {
  const __m512i low_nibble = _mm512_set1_epi8(15);
  for (int half = 0; half < 2; ++half) {
    uint8_t* to = codes + half * 512;
    if constexpr (kBits == 8) {
#pragma GCC unroll 8
      for (int quad = 0; quad < 8; ++quad) {
        const __m512i v = _mm512_loadu_si512(planes + half * 512 + quad * 64);
        _mm512_store_si512(to + quad * 64, _mm512_sub_epi8(v, zero));
      }
      continue;
    }
#pragma GCC unroll 4
    for (int quad = 0; quad < 4; ++quad) {
      const __m512i v = _mm512_loadu_si512(planes + half * 256 + quad * 64);
      __m512i low = _mm512_and_si512(v, low_nibble);
      __m512i high = _mm512_and_si512(_mm512_srli_epi16(v, 4), low_nibble);
      if constexpr (kBits == 5) {
        const __m512i fifth = _mm512_set1_epi8(16);
        const std::byte* masks = planes + 512 + half * 64 + quad * 8;
        low = _mm512_mask_add_epi8(low, LoadAs<uint64_t>(masks), low, fifth);
        high = _mm512_mask_add_epi8(high, LoadAs<uint64_t>(masks + 32), high, fifth);
      }
      if constexpr (kBits == 6) {
        const std::byte* top = planes + 512 + half * 128;
        low = _mm512_or_si512(low, TopBits(_mm512_loadu_si512(top), quad));
        high = _mm512_or_si512(high, TopBits(_mm512_loadu_si512(top + 64), quad));
      }
      _mm512_store_si512(to + quad * 64, _mm512_sub_epi8(low, zero));
      _mm512_store_si512(to + 256 + quad * 64, _mm512_sub_epi8(high, zero));
    }
  }
}

RETORT_AVX512 inline __m512 LoadHalves(const std::byte* halves) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
}

// Of 16 outputs; `min` is there only if the kind has one.
struct ScaleAndMin {
  __m512 scale;
  __m512 min;
};

// Of outputs 16 · half ... of a group; `run` is the half of its inputs that kSuper16 wants.
RETORT_AVX512 inline ScaleAndMin LoadScale(ScaleKind kind, const std::byte* record,
                                           const std::byte* header, int half, int run) {
  const int n = 16 * half;
  const auto* bytes = reinterpret_cast<const __m128i*>(header + n);
  switch (kind) {
    case ScaleKind::kHalf:
      return {LoadHalves(header + 2 * n), _mm512_setzero_ps()};
    case ScaleKind::kHalfMin:
      return {LoadHalves(header + 2 * n), LoadHalves(header + 64 + 2 * n)};
    case ScaleKind::kSuperMin: {
      const __m512i scale = _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes));
      const __m512i min = _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes + 2));
      const __m512 dmin = _mm512_sub_ps(_mm512_set1_ps(-0.0f), LoadHalves(record + 64 + 2 * n));
      return {_mm512_mul_ps(LoadHalves(record + 2 * n), _mm512_cvtepi32_ps(scale)),
              _mm512_mul_ps(dmin, _mm512_cvtepi32_ps(min))};
    }
    default: {
      const __m512i scale = _mm512_cvtepi8_epi32(_mm_loadu_si128(bytes + 2 * run));
      return {_mm512_mul_ps(LoadHalves(record + 2 * n), _mm512_cvtepi32_ps(scale)),
              _mm512_setzero_ps()};
    }
  }
}

}  // namespace retort::cpu

#endif
