#include "retort/backend/cpu/linear_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "retort/tensor/float_bits.h"

#define RETORT_AVX2 __attribute__((target("avx2,fma,f16c")))

// AVX2, FMA, F16C. Integer products by VPMADDUBSW, whose 16-bit sums of two products are added up
// over as many quads as cannot overflow.
namespace retort::cpu {
namespace {

RETORT_AVX2 inline __m256i Load32(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

RETORT_AVX2 inline void Store32(void* to, __m256i v) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), v);
}

RETORT_AVX2 inline __m256 LoadHalves(const std::byte* halves) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
}

RETORT_AVX2 void UnpackPlanes(int bits, const std::byte* planes, int zero, uint8_t* codes) {
  const __m256i zeros = _mm256_set1_epi8(static_cast<char>(zero));
  const __m256i low_nibble = _mm256_set1_epi8(15);
  if (bits == 8) {
    for (size_t i = 0; i < kGroupCodes; i += 32) {
      Store32(codes + i, _mm256_sub_epi8(Load32(planes + i), zeros));
    }
    return;
  }
  const __m256i bit_of_byte = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
  const __m256i byte_of_bit = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2,
                                               2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i top = _mm256_set1_epi8(0x30);
  for (size_t i = 0; i < 512; i += 32) {  // nibbles [half][quad 0..3][64]
    const __m256i v = Load32(planes + i);
    __m256i parts[2] = {_mm256_and_si256(v, low_nibble),
                        _mm256_and_si256(_mm256_srli_epi16(v, 4), low_nibble)};
    const size_t half = i / 256;
    const size_t quad = i / 64 % 4;
    for (size_t part = 0; part < 2; ++part) {
      if (bits == 5) {
        const size_t vector = half * 8 + part * 4 + quad;
        const auto mask = LoadAs<uint32_t>(planes + 512 + vector * 8 + i % 64 / 8);
        const __m256i spread =
            _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(mask)), byte_of_bit);
        const __m256i is_set =
            _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit_of_byte), bit_of_byte);
        parts[part] = _mm256_or_si256(parts[part], _mm256_and_si256(is_set, _mm256_set1_epi8(16)));
      } else if (bits == 6) {
        const __m256i t = Load32(planes + 512 + half * 128 + part * 64 + i % 64);
        const __m128i left = _mm_cvtsi32_si128(quad < 2 ? static_cast<int>(4 - 2 * quad) : 0);
        const __m128i right = _mm_cvtsi32_si128(quad < 2 ? 0 : static_cast<int>(2 * quad - 4));
        parts[part] = _mm256_or_si256(
            parts[part], _mm256_and_si256(_mm256_srl_epi16(_mm256_sll_epi16(t, left), right), top));
      }
      Store32(codes + half * 512 + part * 256 + i % 256, _mm256_sub_epi8(parts[part], zeros));
    }
  }
}

RETORT_AVX2 inline __m256 LoadU8(const std::byte* bytes) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes))));
}

RETORT_AVX2 inline __m256 LoadS8(const std::byte* bytes) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes))));
}

RETORT_AVX2 void UnpackScales(ScaleKind kind, const std::byte* record, const std::byte* header,
                              float* scales, float* mins) {
  for (int n = 0; n < kPanelOutputs; n += 8) {
    switch (kind) {
      case ScaleKind::kHalfMin:
        _mm256_storeu_ps(mins + n, LoadHalves(header + 64 + 2 * n));
        [[fallthrough]];
      case ScaleKind::kHalf:
        _mm256_storeu_ps(scales + n, LoadHalves(header + 2 * n));
        break;
      case ScaleKind::kSuperMin: {
        const __m256 dmin = _mm256_sub_ps(_mm256_set1_ps(-0.0f), LoadHalves(record + 64 + 2 * n));
        _mm256_storeu_ps(scales + n, _mm256_mul_ps(LoadHalves(record + 2 * n), LoadU8(header + n)));
        _mm256_storeu_ps(mins + n, _mm256_mul_ps(dmin, LoadU8(header + 32 + n)));
        break;
      }
      case ScaleKind::kSuper16: {
        const __m256 d = LoadHalves(record + 2 * n);
        _mm256_storeu_ps(scales + n, _mm256_mul_ps(d, LoadS8(header + n)));
        _mm256_storeu_ps(scales + 32 + n, _mm256_mul_ps(d, LoadS8(header + 32 + n)));
        break;
      }
    }
  }
}

RETORT_AVX2 void Unpack(const GroupLayout& layout, const std::byte* panel, int64_t group_begin,
                        int num_groups, bool is_signed, UnpackScratch* scratch, GroupTile* tile) {
  const size_t scales_per_group = layout.scale_values() == 16 ? 64 : 32;
  for (int g = 0; g < num_groups; ++g) {
    const int64_t group = group_begin + g;
    const std::byte* record =
        panel + static_cast<size_t>(group / layout.groups_per_record) * layout.record_bytes();
    const std::byte* header =
        record + layout.record_header_bytes() +
        static_cast<size_t>(group % layout.groups_per_record) * layout.group_bytes();
    UnpackScales(layout.scales, record, header, scratch->scales + g * scales_per_group,
                 scratch->mins + g * scales_per_group);
    UnpackPlanes(layout.bits, header + layout.group_header_bytes(), is_signed ? layout.zero : 0,
                 scratch->codes + g * kGroupCodes);
  }
  *tile = {.codes = scratch->codes,
           .group_stride = kGroupCodes,
           .scales = scratch->scales,
           .mins = layout.has_min() ? scratch->mins : nullptr,
           .num_groups = num_groups,
           .scale_values = layout.scale_values(),
           .bits = layout.bits,
           .is_signed = is_signed};
}

// Quads whose 16-bit sums cannot overflow: (2^bits − 1) · 127 · 2 · quads < 2^15.
constexpr int QuadsPerSum(int bits) { return bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1; }

// The integers of one run for kRows rows by 8 outputs: codes are at the run's first quad. 8-bit
// codes are multiplied as |w| · (a with w's sign), which a 16-bit sum of two holds for w = −128
// too; they come out as signed products, so the caller adds no correction.
template <int kRows, int kQuads, int kBits>
RETORT_AVX2 inline void DotRun(const uint8_t* codes, const int8_t* row_codes, __m256i* dot) {
  constexpr int kSumQuads = std::min(QuadsPerSum(kBits), kQuads);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int r = 0; r < kRows; ++r) dot[r] = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int first = 0; first < kQuads; first += kSumQuads) {
    __m256i sum[kRows];
    for (int r = 0; r < kRows; ++r) sum[r] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int quad = first; quad < first + kSumQuads; ++quad) {
      __m256i w = Load32(codes + quad * 64);
      if constexpr (kBits == 8) w = _mm256_xor_si256(w, _mm256_set1_epi8(static_cast<char>(0x80)));
      const __m256i magnitude = kBits == 8 ? _mm256_abs_epi8(w) : w;
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        int32_t bytes;
        std::memcpy(&bytes, row_codes + r * kGroupValues + quad * 4, 4);
        __m256i a = _mm256_set1_epi32(bytes);
        if constexpr (kBits == 8) a = _mm256_sign_epi8(a, w);
        const __m256i pairs = _mm256_maddubs_epi16(magnitude, a);
        sum[r] = kSumQuads == 1 ? pairs : _mm256_add_epi16(sum[r], pairs);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      dot[r] = _mm256_add_epi32(dot[r], _mm256_madd_epi16(sum[r], ones));
    }
  }
}

template <int kRows, int kQuads, int kBits>
RETORT_AVX2 void MultiplyTile(const GroupTile& tile, const int8_t* row_codes,
                              const float* row_scales, const int32_t* corrections,
                              const float* row_sums, SteadyPrefetch* ahead, float* sums) {
  constexpr int kRuns = 8 / kQuads;
  for (int run = 0; run < tile.num_groups * kRuns; ++run) {
    ahead->Step();
    const int group = run / kRuns;
    const int quad = run % kRuns * kQuads;
    const uint8_t* codes = tile.codes + static_cast<size_t>(group) * tile.group_stride + quad * 64;
    const int8_t* a = row_codes + group * kBlockRows * kGroupValues + quad * 4;
    for (int n = 0; n < kPanelOutputs; n += 8) {
      __m256i dot[kRows];
      DotRun<kRows, kQuads, kBits>(codes + n / 16 * 512 + n % 16 * 4, a, dot);
      const __m256 scale = _mm256_loadu_ps(tile.scales + run * kPanelOutputs + n);
      for (int r = 0; r < kRows; ++r) {
        if (tile.mins == nullptr && kBits != 8) {
          dot[r] = _mm256_add_epi32(dot[r], _mm256_set1_epi32(corrections[run * kBlockRows + r]));
        }
        float* to = sums + r * kPanelOutputs + n;
        const __m256 row_scale = _mm256_set1_ps(row_scales[group * kBlockRows + r]);
        __m256 sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[r]), _mm256_mul_ps(scale, row_scale),
                                     _mm256_loadu_ps(to));
        if (tile.mins != nullptr) {
          sum = _mm256_fmadd_ps(_mm256_loadu_ps(tile.mins + run * kPanelOutputs + n),
                                _mm256_set1_ps(row_sums[run * kBlockRows + r]), sum);
        }
        _mm256_storeu_ps(to, sum);
      }
    }
  }
}

constexpr int kTileRows = 4;

template <int kQuads, int kBits>
void MultiplyRows(const GroupTile& tile, const QuantizedRows& rows, int64_t num_rows, float* sums) {
  const int64_t num_tiles = num_rows / kTileRows + num_rows % kTileRows;
  SteadyPrefetch ahead(tile.ahead, num_tiles * tile.num_groups * 8 / kQuads);
  for (int64_t row = 0; row < num_rows;) {
    const bool whole = num_rows - row >= kTileRows;
    const auto multiply =
        whole ? MultiplyTile<kTileRows, kQuads, kBits> : MultiplyTile<1, kQuads, kBits>;
    multiply(tile, rows.codes + row * kGroupValues, rows.scales + row, rows.corrections + row,
             rows.sums + row, &ahead, sums + row * kPanelOutputs);
    row += whole ? kTileRows : 1;
  }
}

void MultiplyGroups(const GroupTile& tile, const QuantizedRows& rows, int64_t num_rows,
                    float* sums) {
  if (tile.scale_values == 16) return MultiplyRows<4, 6>(tile, rows, num_rows, sums);
  if (tile.bits == 4) return MultiplyRows<8, 4>(tile, rows, num_rows, sums);
  if (tile.bits == 5) return MultiplyRows<8, 5>(tile, rows, num_rows, sums);
  return MultiplyRows<8, 8>(tile, rows, num_rows, sums);
}

template <int kRows>
RETORT_AVX2 void MultiplyF32Rows(const float* w, int num_inputs, const float* x, int64_t x_stride,
                                 float* sums) {
  __m256 sum[kRows][4];
#pragma GCC unroll 3
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) sum[r][i] = _mm256_setzero_ps();
  }
  for (int k = 0; k < num_inputs; ++k, w += kPanelOutputs) {
#pragma GCC unroll 3
    for (int r = 0; r < kRows; ++r) {
      const __m256 value = _mm256_set1_ps(x[r * x_stride + k]);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        sum[r][i] = _mm256_fmadd_ps(value, _mm256_loadu_ps(w + i * 8), sum[r][i]);
      }
    }
  }
#pragma GCC unroll 3
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      float* to = sums + r * kPanelOutputs + i * 8;
      _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), sum[r][i]));
    }
  }
}

void MultiplyF32(const float* w, int num_inputs, const float* x, int64_t x_stride, int64_t num_rows,
                 float* sums) {
  for (; num_rows >= 3; num_rows -= 3, x += 3 * x_stride, sums += 3 * kPanelOutputs) {
    MultiplyF32Rows<3>(w, num_inputs, x, x_stride, sums);
  }
  if (num_rows == 2) MultiplyF32Rows<2>(w, num_inputs, x, x_stride, sums);
  if (num_rows == 1) MultiplyF32Rows<1>(w, num_inputs, x, x_stride, sums);
}

RETORT_AVX2 void WriteOut(const float* sums, const float* bias, bool accumulate, int count,
                          float* out) {
  int n = 0;
  for (; n + 8 <= count; n += 8) {
    __m256 value = _mm256_loadu_ps(sums + n);
    if (bias != nullptr) value = _mm256_add_ps(value, _mm256_loadu_ps(bias + n));
    if (accumulate) value = _mm256_add_ps(_mm256_loadu_ps(out + n), value);
    _mm256_storeu_ps(out + n, value);
  }
  for (; n < count; ++n) {
    const float value = bias != nullptr ? sums[n] + bias[n] : sums[n];
    out[n] = accumulate ? out[n] + value : value;
  }
}

RETORT_AVX2 void DecodeF16(const uint16_t* values, int num_inputs, float* out) {
  for (int i = 0; i < num_inputs * kPanelOutputs; i += 8) {
    _mm256_storeu_ps(out + i, LoadHalves(reinterpret_cast<const std::byte*>(values + i)));
  }
}

RETORT_AVX2 void DecodeBf16(const uint16_t* units, int num_units, float* out) {
  const __m256i odd_mask = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  for (int i = 0; i < num_units * 1024; i += 16) {
    const int unit = i / 1024;
    const int64_t k = unit * kBf16UnitValues + PlaceInUnit(i % 512 / 32 * 2);
    float* to = out + k * kPanelOutputs + i % 1024 / 512 * 16 + i % 32 / 2;
    const __m256i v = Load32(units + i);
    Store32(to, _mm256_slli_epi32(v, 16));
    Store32(to + 2 * kPanelOutputs, _mm256_and_si256(v, odd_mask));
  }
}

RETORT_AVX2 void DecodeGroups(const GroupTile& tile, int zero, float* out) {
  const __m256i byte_mask = _mm256_set1_epi32(0xff);
  const __m256i zeros = _mm256_set1_epi32(zero);
  const int runs = kGroupValues / tile.scale_values;
  for (int group = 0; group < tile.num_groups; ++group, out += kGroupValues * kPanelOutputs) {
    const uint8_t* codes = tile.codes + static_cast<size_t>(group) * tile.group_stride;
    for (int i = 0; i < 32; ++i) {  // 32 bytes: 8 outputs of one quad
      const int quad = i / 2 % 8;
      const int n = i / 16 * 16 + i % 2 * 8;
      const int scale_at = (group * runs + quad * 4 / tile.scale_values) * 32 + n;
      const __m256 scale = _mm256_loadu_ps(tile.scales + scale_at);
      const __m256 min =
          tile.mins != nullptr ? _mm256_loadu_ps(tile.mins + scale_at) : _mm256_setzero_ps();
      __m256i v = Load32(codes + i * 32);
      for (int j = 0; j < 4; ++j, v = _mm256_srli_epi32(v, 8)) {
        const __m256i code = _mm256_sub_epi32(_mm256_and_si256(v, byte_mask), zeros);
        _mm256_storeu_ps(out + (quad * 4 + j) * kPanelOutputs + n,
                         _mm256_fmadd_ps(_mm256_cvtepi32_ps(code), scale, min));
      }
    }
  }
}

RETORT_AVX2 inline __m256i MaxLane(__m256i v) {  // the largest of 8, in every lane
  v = _mm256_max_epu32(v, _mm256_permute2x128_si256(v, v, 1));
  v = _mm256_max_epu32(v, _mm256_shuffle_epi32(v, 0x4e));
  return _mm256_max_epu32(v, _mm256_shuffle_epi32(v, 0xb1));
}

RETORT_AVX2 inline int32_t SumLanes(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
  return _mm_cvtsi128_si32(s);
}

RETORT_AVX2 void QuantizeRow(const float* x, int64_t num_groups, int8_t* codes, float* scales,
                             int32_t* sums) {
  const __m256i magnitude_mask = _mm256_set1_epi32(0x7fffffff);
  const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (int64_t g = 0; g < num_groups; ++g, x += kGroupValues) {
    __m256 v[4];
    __m256i bits = _mm256_setzero_si256();
    for (int i = 0; i < 4; ++i) {
      v[i] = _mm256_loadu_ps(x + i * 8);
      bits = _mm256_max_epu32(bits, _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude_mask));
    }
    const float magnitude = _mm256_cvtss_f32(_mm256_castsi256_ps(MaxLane(bits)));
    const bool is_zero = magnitude < kSmallestMagnitude;
    const __m256 inverse = _mm256_set1_ps(is_zero ? 0.0f : 127.0f / magnitude);
    scales[g * kBlockRows] = is_zero ? 0.0f : magnitude / 127.0f;
    __m256i q[4];
    for (int i = 0; i < 4; ++i) {  // what is no number converts to the least integer
      q[i] = _mm256_max_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse)),
                              _mm256_set1_epi32(-127));
    }
    sums[2 * g * kBlockRows] = SumLanes(_mm256_add_epi32(q[0], q[1]));
    sums[(2 * g + 1) * kBlockRows] = SumLanes(_mm256_add_epi32(q[2], q[3]));
    const __m256i packed =
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    Store32(codes + g * kBlockRows * kGroupValues, _mm256_permutevar8x32_epi32(packed, in_order));
  }
}

}  // namespace

LinearKernels Avx2Kernels(const LinearKernels& lower) {
  LinearKernels kernels = lower;
  kernels.unpack = Unpack;
  kernels.multiply_groups = MultiplyGroups;
  kernels.multiply_f32 = MultiplyF32;
  kernels.write_out = WriteOut;
  kernels.decode_f16 = DecodeF16;
  kernels.decode_bf16 = DecodeBf16;
  kernels.decode_groups = DecodeGroups;
  kernels.quantize_row = QuantizeRow;
  return kernels;
}

}  // namespace retort::cpu

#else

namespace retort::cpu {
LinearKernels Avx2Kernels(const LinearKernels& lower) { return lower; }
}  // namespace retort::cpu

#endif
