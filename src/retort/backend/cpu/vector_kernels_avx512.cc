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
#include "retort/backend/cpu/store_pairs_avx512.h"
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

void StorePaired(const float* key, const float* value, int head_dim, int token, uint16_t* keys,
                 uint16_t* values) {
  alignas(64) uint16_t rounded[kHeadDimMax];
  const auto round = [&](const float* from) {
    for (int d = 0; d < head_dim; d += V::kLanes) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(rounded + d), RoundToBf16(V::Load(from + d)));
    }
  };
  round(key);
  StoreKeyPairs(rounded, head_dim, token, keys);
  round(value);
  StoreValuePairs(rounded, head_dim, token, values);
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
