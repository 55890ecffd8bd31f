#include "retort/backend/cpu/linear_kernels.h"

#if defined(__x86_64__)

#include <algorithm>

#include "retort/backend/cpu/int16_vnni.h"

// Products of 16-bit integers by VPDPWSSD, for weights in bf16 where bf16 has no fast products.
namespace retort::cpu {
namespace {

constexpr int kTileRows = 8;
constexpr int64_t kChunkRowValues = int64_t{kBlockRows} * kInt16ChunkValues;

// One tile of rows by up to kInt16ChunkValues inputs: their integers, then their fold.
template <int kRows>
RETORT_VNNI void MultiplyTile(const std::byte* chunk, int num_pairs, const int16_t* rows,
                              const float* row_scales, float* sums) {
  // What memory is asked for meanwhile: it comes next in this panel, or in the one that follows.
  constexpr size_t kPrefetchBytes = kInt16ChunkBytes;
  const std::byte* pairs = chunk + kInt16ScaleBytes;
  // Rows of the next tile, where they follow: they come from the L2 cache.
  const int16_t* next_rows = rows + kRows * kInt16ChunkValues;
  __m512i dot[kRows][2];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) dot[r][0] = dot[r][1] = _mm512_setzero_si512();
  for (int pair = 0; pair < num_pairs; ++pair, pairs += kInt16PairBytes) {
    __builtin_prefetch(pairs + kPrefetchBytes, 0, 3);
    __builtin_prefetch(pairs + kPrefetchBytes + 64, 0, 3);
    __builtin_prefetch(next_rows + kRows * pair * 2, 0, 3);
    const __m512i w0 = _mm512_loadu_si512(pairs);
    const __m512i w1 = _mm512_loadu_si512(pairs + 64);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512i x = Broadcast4(rows + r * kInt16ChunkValues + 2 * pair);
      AddDots(w0, x, &dot[r][0]);
      AddDots(w1, x, &dot[r][1]);
    }
  }
  const auto* scales = reinterpret_cast<const float*>(chunk);
  const __m512 scale0 = _mm512_loadu_ps(scales);
  const __m512 scale1 = _mm512_loadu_ps(scales + 16);
  __m512 sum[kRows][2];
  LoadSums(sums, sum);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = FoldRun<false>(dot[r][0], scale0, scale0, row_scales + r, nullptr, sum[r][0]);
    sum[r][1] = FoldRun<false>(dot[r][1], scale1, scale1, row_scales + r, nullptr, sum[r][1]);
  }
  StoreSums(sum, sums);
}

void MultiplyInt16(const std::byte* panel, int64_t num_inputs, const Int16Rows& rows,
                   int64_t num_rows, float* sums) {
  using Kernel = void (*)(const std::byte*, int, const int16_t*, const float*, float*);
  constexpr Kernel kKernels[kTileRows + 1] = {
      nullptr,         MultiplyTile<1>, MultiplyTile<2>, MultiplyTile<3>, MultiplyTile<4>,
      MultiplyTile<5>, MultiplyTile<6>, MultiplyTile<7>, MultiplyTile<8>,
  };
  int64_t chunk = 0;
  for (int64_t k = 0; k < num_inputs; k += kInt16ChunkValues, ++chunk) {
    const auto num_pairs =
        static_cast<int>((std::min<int64_t>(kInt16ChunkValues, num_inputs - k) + 1) / 2);
    const std::byte* weights = panel + static_cast<size_t>(chunk) * kInt16ChunkBytes;
    for (int64_t begin = 0; begin < num_rows; begin += kBlockRows) {
      const auto block = static_cast<size_t>(begin / kBlockRows);
      const int16_t* codes = rows.codes + block * rows.codes_stride + chunk * kChunkRowValues;
      const float* scales = rows.scales + block * rows.scales_stride + chunk * kBlockRows;
      ForEvenTiles(std::min<int64_t>(kBlockRows, num_rows - begin), kTileRows,
                   [&](int64_t row, int64_t count) {
                     kKernels[count](weights, num_pairs, codes + row * kInt16ChunkValues,
                                     scales + row, sums + (begin + row) * kPanelOutputs);
                   });
    }
  }
}

void QuantizeRowInt16(const float* x, int64_t num_inputs, int16_t* codes, float* scales) {
  for (int64_t k = 0; k < num_inputs; k += kInt16ChunkValues) {
    const auto count = static_cast<int>(std::min<int64_t>(kInt16ChunkValues, num_inputs - k));
    *scales = QuantizeInt16(x + k, count, kInt16ChunkValues, codes);
    codes += kChunkRowValues;
    scales += kBlockRows;
  }
}

constexpr int kOutputs = 16;  // that are packed together

// Word j of 16 bytes of each output, in words[j].
RETORT_AVX512 RETORT_INLINE void LoadWords(const std::byte* first, size_t stride,
                                           __m512i (&words)[4]) {
  const auto load = [=](size_t output) RETORT_AVX512 {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(first + output * stride));
  };
  __m512i rows[4];
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    rows[i] = _mm512_castsi128_si512(load(i));
    rows[i] = _mm512_inserti32x4(rows[i], load(i + 4), 1);
    rows[i] = _mm512_inserti32x4(rows[i], load(i + 8), 2);
    rows[i] = _mm512_inserti32x4(rows[i], load(i + 12), 3);
  }
  const __m512i low01 = _mm512_unpacklo_epi32(rows[0], rows[1]);
  const __m512i low23 = _mm512_unpacklo_epi32(rows[2], rows[3]);
  const __m512i high01 = _mm512_unpackhi_epi32(rows[0], rows[1]);
  const __m512i high23 = _mm512_unpackhi_epi32(rows[2], rows[3]);
  words[0] = _mm512_unpacklo_epi64(low01, low23);
  words[1] = _mm512_unpackhi_epi64(low01, low23);
  words[2] = _mm512_unpacklo_epi64(high01, high23);
  words[3] = _mm512_unpackhi_epi64(high01, high23);
}

// A chunk of each output in bf16, close together: where rows lie a power of two apart, their lines
// would push each other out of the L1 cache.
struct Bf16Chunk {
  alignas(64) std::byte values[kOutputs][kInt16ChunkValues * 2];
};

// Copies it, and finds each output's largest magnitude, as the bits of bf16.
RETORT_AVX512 __m512i LoadChunk(const std::byte* const* outputs, Bf16Chunk* chunk) {
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  alignas(64) std::byte eight[kOutputs][16];  // candidates of each
  for (int n = 0; n < kOutputs; ++n) {
    __m512i largest = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (size_t at = 0; at < sizeof chunk->values[n]; at += sizeof largest) {
      const __m512i bits = _mm512_loadu_si512(outputs[n] + at);
      _mm512_store_si512(chunk->values[n] + at, bits);
      largest = _mm512_max_epu16(largest, _mm512_and_si512(bits, magnitude));
    }
    const __m256i half =
        _mm256_max_epu16(_mm512_castsi512_si256(largest), _mm512_extracti64x4_epi64(largest, 1));
    _mm_store_si128(reinterpret_cast<__m128i*>(eight[n]),
                    _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
  }
  __m512i words[4];
  LoadWords(eight[0], sizeof eight[0], words);
  const __m512i two =
      _mm512_max_epu16(_mm512_max_epu16(words[0], words[1]), _mm512_max_epu16(words[2], words[3]));
  return _mm512_max_epu32(_mm512_and_si512(two, _mm512_set1_epi32(0xffff)),
                          _mm512_srli_epi32(two, 16));
}

// False if a value is not finite: the exponent's bits are all ones.
RETORT_AVX512 bool PackOutputs(const std::byte* const* outputs, int num_pairs,
                               const std::byte* next, float* scales, std::byte* pairs) {
  Bf16Chunk chunk;
  const __m512i bits = LoadChunk(outputs, &chunk);
  const __m512 largest = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
  const __m512 code_max = _mm512_set1_ps(kInt16CodeMax);
  const __mmask16 is_scaled =
      _mm512_cmp_ps_mask(largest, _mm512_set1_ps(kSmallestMagnitude), _CMP_NLT_UQ);
  _mm512_storeu_ps(scales, _mm512_maskz_div_ps(is_scaled, largest, code_max));
  const __m512 inverse = _mm512_maskz_div_ps(is_scaled, code_max, largest);
  const auto code = [=](__m512i value) RETORT_AVX512 {
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_castsi512_ps(value), inverse));
  };
  const __m512i second_of_pair = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  constexpr __mmask32 kSeconds = 0xaaaaaaaa;
  for (int pair = 0; pair < num_pairs; pair += 4) {
    __m512i words[4];
    LoadWords(chunk.values[0] + pair * 4, sizeof chunk.values[0], words);
#pragma GCC unroll 4
    for (int line = 0; line < 4; ++line, next += 64) __builtin_prefetch(next, 0, 2);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i, pairs += kInt16PairBytes) {
      if (pair + i >= num_pairs) break;
      const __m512i first = code(_mm512_slli_epi32(words[i], 16));
      const __m512i second = code(_mm512_and_si512(words[i], second_of_pair));
      _mm512_storeu_si512(pairs,
                          _mm512_mask_blend_epi16(kSeconds, first, _mm512_slli_epi32(second, 16)));
    }
  }
  return _mm512_cmplt_epu32_mask(bits, _mm512_set1_epi32(0x7f80)) == 0xffff;
}

bool PackChunk(const std::byte* const* outputs, int num_pairs, const std::byte* next,
               std::byte* chunk) {
  auto* scales = reinterpret_cast<float*>(chunk);
  std::byte* pairs = chunk + kInt16ScaleBytes;
  const std::byte* next_half = next + kOutputs * 4 * num_pairs;
  const bool first = PackOutputs(outputs, num_pairs, next, scales, pairs);
  const bool second = PackOutputs(outputs + kOutputs, num_pairs, next_half, scales + kOutputs,
                                  pairs + kOutputs * 4);
  return first && second;
}

}  // namespace

void AddVnniInt16(LinearKernels* kernels) {
  kernels->multiply_int16 = MultiplyInt16;
  kernels->quantize_row_int16 = QuantizeRowInt16;
  kernels->pack_int16_chunk = PackChunk;
}

}  // namespace retort::cpu

#else

namespace retort::cpu {
void AddVnniInt16(LinearKernels*) {}
}  // namespace retort::cpu

#endif
