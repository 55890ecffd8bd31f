#include "retort/backend/cpu/linear_kernels.h"

#if defined(__x86_64__)

#include <algorithm>

#include "retort/backend/cpu/int16_vnni.h"

// Products of 16-bit integers by VPDPWSSD, for weights in bf16 where bf16 has no fast products.
namespace retort::cpu {
namespace {

constexpr int kTileRows = 8;
constexpr int kLanes = 32;  // values of 16 bits in a vector
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

// Sixteen bits with the exponent in all ones stand for no number.
RETORT_AVX512 bool QuantizeBf16(const std::byte* values, int count, int16_t* codes, float* scale) {
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  __m512i largest = _mm512_setzero_si512();
  __m512i bits[kInt16ChunkValues / kLanes];
#pragma GCC unroll 4
  for (int i = 0; i < kInt16ChunkValues / kLanes; ++i) {
    const int rest = count - kLanes * i;
    const __mmask32 mask = rest >= kLanes ? ~0u : (rest <= 0 ? 0u : (1u << rest) - 1);
    bits[i] = _mm512_maskz_loadu_epi16(mask, values + static_cast<ptrdiff_t>(2 * kLanes) * i);
    largest = _mm512_max_epu16(largest, _mm512_and_si512(bits[i], magnitude));
  }
  const __m512i even = _mm512_and_si512(largest, _mm512_set1_epi32(0xffff));
  const auto top = static_cast<uint32_t>(
      _mm512_reduce_max_epi32(_mm512_max_epi32(even, _mm512_srli_epi32(largest, 16))));
  const Int16Scale found = Int16ScaleOf(std::bit_cast<float>(top << 16));
  const __m512 inverse = _mm512_set1_ps(found.inverse);
#pragma GCC unroll 4
  for (int i = 0; i < kInt16ChunkValues / kLanes; ++i) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512i wide = _mm512_cvtepu16_epi32(half == 0 ? _mm512_castsi512_si256(bits[i])
                                                           : _mm512_extracti64x4_epi64(bits[i], 1));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + kLanes * i + 16 * half),
                          ToInt16(_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)), inverse));
    }
  }
  *scale = found.scale;
  return top < 0x7f80;
}

}  // namespace

void AddVnniInt16(LinearKernels* kernels) {
  kernels->multiply_int16 = MultiplyInt16;
  kernels->quantize_row_int16 = QuantizeRowInt16;
  kernels->quantize_bf16 = QuantizeBf16;
}

}  // namespace retort::cpu

#else

namespace retort::cpu {
void AddVnniInt16(LinearKernels*) {}
}  // namespace retort::cpu

#endif
