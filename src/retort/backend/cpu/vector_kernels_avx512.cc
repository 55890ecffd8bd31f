// The kernels of vector_kernels.h for AVX-512 (F, BW, DQ, VL).

#if defined(__x86_64__)

// GCC 12 takes the intrinsics' own undefined operands for a mistake (its bug 105593).
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "retort/backend/cpu/bf16_avx512.h"
#include "retort/backend/cpu/vector_kernels.h"

#define RETORT_INLINE inline __attribute__((always_inline))

// Only what is defined below may use these instructions: headers are included above.
#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

namespace retort::cpu::avx512 {
namespace {

#include "retort/backend/cpu/vector_avx512.inc"
// The kernels need V.
#include "retort/backend/cpu/row_kernels.inc"
// The kernels need Exp.
#include "retort/backend/cpu/attention_kernels.inc"

// As attention_amx.cc does it, whose rounding takes one instruction.
void StorePaired(const float* key, const float* value, int head_dim, int token, uint16_t* keys,
                 uint16_t* values) {
  // A token's pairs of dimensions are kPageTokens words apart.
  const __m512i words =
      _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                         _mm512_set1_epi32(kPageTokens));
  auto* pairs = reinterpret_cast<int32_t*>(keys) + token;
  for (int d = 0; d < head_dim; d += 2 * V::kLanes) {
    const __m512i low = _mm512_castsi256_si512(RoundToBf16(V::Load(key + d)));
    const __m256i high = RoundToBf16(V::Load(key + d + V::kLanes));
    _mm512_i32scatter_epi32(pairs + d / 2 * kPageTokens, words, _mm512_inserti64x4(low, high, 1),
                            4);
  }
  // Its values alternate with those of the token it is paired with.
  const bool is_odd = token % 2 != 0;
  uint16_t* row = values + PagedIndex(true, head_dim, token / 2 * 2, 0);
  for (int d = 0; d < head_dim; d += V::kLanes) {
    const __m512i wide = _mm512_cvtepu16_epi32(RoundToBf16(V::Load(value + d)));
    _mm512_mask_storeu_epi16(row + 2 * d, is_odd ? 0xaaaaaaaau : 0x55555555u,
                             is_odd ? _mm512_slli_epi32(wide, 16) : wide);
  }
}

}  // namespace

const VectorKernels kKernels = {RmsNorm, GatedActivation, AddTo,       Scale,
                                Rotate,  Attend,          BlockMaxima, Mask,
                                Weights, BlockSums,       StorePaired};

}  // namespace retort::cpu::avx512

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__
