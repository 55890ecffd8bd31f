#include "retort/backend/cpu/bf16_avx512.h"
#include "retort/backend/cpu/linear_kernels.h"

#if defined(__x86_64__)

#include "retort/backend/cpu/tile_avx512.h"

// AVX-512 F, BW, DQ, VL: decoding, f32 products, preparing rows (unpacking: unpack_avx512.cc).
// Integer products of this level are those of AVX2 (a 512-bit VPMADDUBSW gains nothing where VNNI
// lacks).
namespace retort::cpu {
namespace {

RETORT_AVX512 void DecodeF16(const uint16_t* values, int num_inputs, float* out) {
  for (int i = 0; i < num_inputs * kPanelOutputs; i += 16) {
    _mm512_storeu_ps(out + i, LoadHalves(reinterpret_cast<const std::byte*>(values + i)));
  }
}

RETORT_AVX512 void DecodeBf16(const uint16_t* units, int num_units, float* out) {
  const __m512i odd_mask = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  for (int unit = 0; unit < num_units; ++unit, units += 1024, out += 32 * kPanelOutputs) {
    for (int half = 0; half < 2; ++half) {
      for (int pair = 0; pair < 16; ++pair) {
        const __m512i v = _mm512_loadu_si512(units + half * 512 + pair * 32);
        float* to = out + PlaceInUnit(2 * pair) * kPanelOutputs + half * 16;
        _mm512_storeu_si512(to, _mm512_slli_epi32(v, 16));
        _mm512_storeu_si512(to + 2 * kPanelOutputs, _mm512_and_si512(v, odd_mask));
      }
    }
  }
}

RETORT_AVX512 void DecodeGroups(const GroupTile& tile, int zero, float* out) {
  const __m512i byte_mask = _mm512_set1_epi32(0xff);
  const __m512i zeros = _mm512_set1_epi32(zero);
  const int runs = kGroupValues / tile.scale_values;
  for (int group = 0; group < tile.num_groups; ++group, out += kGroupValues * kPanelOutputs) {
    const uint8_t* codes = tile.codes + static_cast<size_t>(group) * tile.group_stride;
    for (int vector = 0; vector < 16; ++vector) {
      const int half = vector / 8;
      const int quad = vector % 8;
      const int scale_at = (group * runs + quad * 4 / tile.scale_values) * 32 + half * 16;
      const __m512 scale = _mm512_loadu_ps(tile.scales + scale_at);
      const __m512 min =
          tile.mins != nullptr ? _mm512_loadu_ps(tile.mins + scale_at) : _mm512_setzero_ps();
      __m512i v = _mm512_loadu_si512(codes + vector * 64);
      float* to = out + quad * 4 * kPanelOutputs + half * 16;
      for (int i = 0; i < 4; ++i, v = _mm512_srli_epi32(v, 8)) {
        const __m512i code = _mm512_sub_epi32(_mm512_and_si512(v, byte_mask), zeros);
        _mm512_storeu_ps(to + i * kPanelOutputs,
                         _mm512_fmadd_ps(_mm512_cvtepi32_ps(code), scale, min));
      }
    }
  }
}

template <int kRows>
RETORT_AVX512 void MultiplyF32Rows(const float* w, int num_inputs, const float* x, int64_t x_stride,
                                   float* sums) {
  __m512 sum[kRows][2];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_ps();
  // Rows of the next tile, where they follow: they come from the L2 cache.
  const char* ahead = reinterpret_cast<const char*>(x + kRows * x_stride);
  for (int k = 0; k < num_inputs; ++k, w += kPanelOutputs) {
    __builtin_prefetch(ahead + k * kRows * static_cast<int>(sizeof(float)), 0, 3);
    const __m512 w0 = _mm512_loadu_ps(w);
    const __m512 w1 = _mm512_loadu_ps(w + 16);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512 value = _mm512_set1_ps(x[r * x_stride + k]);
      sum[r][0] = _mm512_fmadd_ps(value, w0, sum[r][0]);
      sum[r][1] = _mm512_fmadd_ps(value, w1, sum[r][1]);
    }
  }
  AddToSums(sum, sums);
}

RETORT_AVX512 void MultiplyF32(const float* w, int num_inputs, const float* x, int64_t x_stride,
                               int64_t num_rows, float* sums) {
  for (; num_rows >= 8; num_rows -= 8, x += 8 * x_stride, sums += 8 * kPanelOutputs) {
    MultiplyF32Rows<8>(w, num_inputs, x, x_stride, sums);
  }
  using Kernel = void (*)(const float*, int, const float*, int64_t, float*);
  constexpr Kernel kRest[] = {nullptr,
                              MultiplyF32Rows<1>,
                              MultiplyF32Rows<2>,
                              MultiplyF32Rows<3>,
                              MultiplyF32Rows<4>,
                              MultiplyF32Rows<5>,
                              MultiplyF32Rows<6>,
                              MultiplyF32Rows<7>};
  if (num_rows > 0) kRest[num_rows](w, num_inputs, x, x_stride, sums);
}

RETORT_AVX512 void WriteOut(const float* sums, const float* bias, bool accumulate, int count,
                            float* out) {
  for (int n = 0; n < count; n += 16) {
    const int rest = count - n;
    const __mmask16 mask = rest >= 16 ? 0xffff : static_cast<__mmask16>((1u << rest) - 1);
    __m512 value = _mm512_loadu_ps(sums + n);
    if (bias != nullptr) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, bias + n));
    if (accumulate) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out + n), value);
    _mm512_mask_storeu_ps(out + n, mask, value);
  }
}

RETORT_AVX512 inline __m512i Magnitudes(const float* x) {
  return _mm512_and_si512(_mm512_loadu_si512(x), _mm512_set1_epi32(0x7fffffff));
}

// The largest magnitude's bits of a group, in each of 4 lanes that of some inputs.
RETORT_AVX512 inline __m128i LargestOfLanes(const float* x) {
  const __m512i bits = _mm512_max_epu32(Magnitudes(x), Magnitudes(x + 16));
  const __m256i half =
      _mm256_max_epu32(_mm512_castsi512_si256(bits), _mm512_extracti64x4_epi64(bits, 1));
  return _mm_max_epu32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

// The largest of each vector's lanes, vector i's in lane i.
RETORT_AVX512 inline __m128i LargestOfVectors(const __m128i v[4]) {
  const __m128i first =
      _mm_max_epu32(_mm_unpacklo_epi32(v[0], v[1]), _mm_unpackhi_epi32(v[0], v[1]));
  const __m128i second =
      _mm_max_epu32(_mm_unpacklo_epi32(v[2], v[3]), _mm_unpackhi_epi32(v[2], v[3]));
  return _mm_max_epu32(_mm_unpacklo_epi64(first, second), _mm_unpackhi_epi64(first, second));
}

RETORT_AVX512 inline __m128i QuantizeHalf(const float* x, __m512 inverse) {
  // What is no number converts to the least integer.
  const __m512i codes = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse));
  return _mm512_cvtsepi32_epi8(_mm512_max_epi32(codes, _mm512_set1_epi32(-127)));
}

// kCount groups from `first` on, 4 at most: what is to be found across lanes is found for all of
// them at once.
template <int kCount>
RETORT_AVX512 inline void QuantizeGroups(const float* x, int64_t first, int8_t* codes,
                                         float* scales, int32_t* sums) {
  x += first * kGroupValues;
  codes += first * kBlockRows * kGroupValues;
  scales += first * kBlockRows;
  sums += 2 * first * kBlockRows;
  __m128i largest[4] = {};
#pragma GCC unroll 4
  for (int g = 0; g < kCount; ++g) largest[g] = LargestOfLanes(x + g * kGroupValues);
  const __m128 magnitude = _mm_castsi128_ps(LargestOfVectors(largest));
  const __mmask8 is_zero = _mm_cmp_ps_mask(magnitude, _mm_set1_ps(kSmallestMagnitude), _CMP_LT_OQ);
  const __m128 range = _mm_set1_ps(127.0f);
  alignas(16) float inverses[4];
  alignas(16) float found_scales[4];
  _mm_store_ps(inverses, _mm_maskz_div_ps(static_cast<__mmask8>(~is_zero), range, magnitude));
  _mm_store_ps(found_scales, _mm_maskz_div_ps(static_cast<__mmask8>(~is_zero), magnitude, range));
  __m256i quads[4] = {};  // sums of 4 codes
#pragma GCC unroll 4
  for (int g = 0; g < kCount; ++g) {
    const __m512 inverse = _mm512_set1_ps(inverses[g]);
    const __m256i group = _mm256_set_m128i(QuantizeHalf(x + g * kGroupValues + 16, inverse),
                                           QuantizeHalf(x + g * kGroupValues, inverse));
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(codes + static_cast<int64_t>(g) * kBlockRows * kGroupValues),
        group);
    quads[g] =
        _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), group), _mm256_set1_epi16(1));
    scales[g * kBlockRows] = found_scales[g];
  }
  alignas(32) int32_t found_sums[2][4];  // of 16 codes
  _mm256_store_si256(reinterpret_cast<__m256i*>(found_sums),
                     _mm256_hadd_epi32(_mm256_hadd_epi32(quads[0], quads[1]),
                                       _mm256_hadd_epi32(quads[2], quads[3])));
#pragma GCC unroll 4
  for (int g = 0; g < kCount; ++g) {
    sums[2 * g * kBlockRows] = found_sums[0][g];
    sums[(2 * g + 1) * kBlockRows] = found_sums[1][g];
  }
}

RETORT_AVX512 void QuantizeRow(const float* x, int64_t num_groups, int8_t* codes, float* scales,
                               int32_t* sums) {
  int64_t g = 0;
  for (; g + 4 <= num_groups; g += 4) QuantizeGroups<4>(x, g, codes, scales, sums);
  for (; g < num_groups; ++g) QuantizeGroups<1>(x, g, codes, scales, sums);
}

RETORT_AVX512 void RoundRow(const float* x, int64_t num_inputs, size_t stride, uint16_t* out) {
  // PlaceInUnit, of 16-bit values in each 16 bytes.
  const __m256i places =
      _mm256_broadcastsi128_si256(_mm_set_epi32(0x0f0e0b0a, 0x0d0c0908, 0x07060302, 0x05040100));
  for (int64_t k = 0; k < num_inputs; k += kBf16UnitValues, out += stride) {
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t rest = num_inputs - k - half * 16;
      const __mmask16 mask =
          rest >= 16 ? 0xffff : static_cast<__mmask16>(rest <= 0 ? 0 : (1u << rest) - 1);
      const __m512 v = _mm512_maskz_loadu_ps(mask, x + k + half * 16);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + half * 16),
                          _mm256_shuffle_epi8(RoundToBf16(v), places));
    }
  }
}

}  // namespace

LinearKernels Avx512Kernels(const LinearKernels& lower) {
  LinearKernels kernels = lower;
  AddAvx512Unpacking(&kernels);
  AddAvx512Dense(&kernels);
  kernels.multiply_f32 = MultiplyF32;
  kernels.decode_f16 = DecodeF16;
  kernels.decode_bf16 = DecodeBf16;
  kernels.decode_groups = DecodeGroups;
  kernels.write_out = WriteOut;
  kernels.quantize_row = QuantizeRow;
  kernels.round_row = RoundRow;
  return kernels;
}

}  // namespace retort::cpu

#else

namespace retort::cpu {
LinearKernels Avx512Kernels(const LinearKernels& lower) { return lower; }
}  // namespace retort::cpu

#endif
