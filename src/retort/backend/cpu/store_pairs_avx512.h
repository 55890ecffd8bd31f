#pragma once

#if defined(__x86_64__)

#include <cstdint>

#include "retort/backend/cpu/decode_avx512.h"
#include "retort/backend/cpu/vector_kernels.h"

// Private to backend/cpu: one token's key or value of a head, in 16 bits of whatever kind, to its
// place in a page's pairs. `head_dim` is a multiple of 32; what is stored is aligned as vectors
// are.
namespace retort::cpu {

RETORT_AVX512 inline void StoreKeyPairs(const uint16_t* key, int head_dim, int token,
                                        uint16_t* keys) {
  // A token's pairs of dimensions are kPageTokens words apart.
  const __m512i words =
      _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                         _mm512_set1_epi32(kPageTokens));
  uint16_t* pairs = keys + PagedIndex(true, kPageTokens, 0, token);
  for (int d = 0; d < head_dim; d += 32) {
    _mm512_i32scatter_epi32(pairs + d * kPageTokens, words, _mm512_load_si512(key + d), 4);
  }
}

// Its values alternate with those of the token it is paired with.
RETORT_AVX512 inline void StoreValuePairs(const uint16_t* value, int head_dim, int token,
                                          uint16_t* values) {
  const bool is_odd = token % 2 != 0;
  uint16_t* row = values + PagedIndex(true, head_dim, token / 2 * 2, 0);
  for (int d = 0; d < head_dim; d += 16) {
    const __m512i wide =
        _mm512_cvtepu16_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(value + d)));
    _mm512_mask_storeu_epi16(row + 2 * d, is_odd ? 0xaaaaaaaau : 0x55555555u,
                             is_odd ? _mm512_slli_epi32(wide, 16) : wide);
  }
}

}  // namespace retort::cpu

#endif
