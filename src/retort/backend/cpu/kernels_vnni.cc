#include "retort/backend/cpu/linear_kernels.h"

#if defined(__x86_64__)

#include "retort/backend/cpu/tile_avx512.h"

#include <algorithm>

#define RETORT_BF16 \
  __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))

// VPDPBUSD for grouped integers, VDPBF16PS for bf16: tiles of up to 6 rows by 32 outputs, whose
// sums stay in registers.
namespace retort::cpu {
namespace {

constexpr int kTileRows = 6;

// One tile over all groups: the integers of a run of inputs that share a scale, then their fold.
template <int kRows, int kQuads, bool kHasMin>
RETORT_VNNI void MultiplyTile(const GroupTile& tile, const int8_t* row_codes,
                              const float* row_scales, const int32_t* corrections,
                              const float* row_sums, SteadyPrefetch* ahead, float* sums) {
  constexpr int kRuns = 8 / kQuads;
  __m512 sum[kRows][2];
  LoadSums(sums, sum);
  const uint8_t* codes = tile.codes;
  const float* scales = tile.scales;
  const float* mins = tile.mins;
  for (int run = 0; run < tile.num_groups * kRuns; ++run) {
    ahead->Step();
    __m512i dot[kRows][2];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      dot[r][0] = kHasMin ? _mm512_setzero_si512() : _mm512_set1_epi32(corrections[r]);
      dot[r][1] = dot[r][0];
    }
#pragma GCC unroll 8
    for (int quad = 0; quad < kQuads; ++quad) {
      const __m512i w0 = _mm512_loadu_si512(codes + quad * 64);
      const __m512i w1 = _mm512_loadu_si512(codes + 512 + quad * 64);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const __m512i a = Broadcast4(row_codes + r * kGroupValues + quad * 4);
        dot[r][0] = _mm512_dpbusd_epi32(dot[r][0], w0, a);
        dot[r][1] = _mm512_dpbusd_epi32(dot[r][1], w1, a);
      }
    }
    const __m512 scale0 = _mm512_loadu_ps(scales);
    const __m512 scale1 = _mm512_loadu_ps(scales + 16);
    const __m512 min0 = kHasMin ? _mm512_loadu_ps(mins) : _mm512_setzero_ps();
    const __m512 min1 = kHasMin ? _mm512_loadu_ps(mins + 16) : _mm512_setzero_ps();
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float* row_sum = kHasMin ? row_sums + r : nullptr;
      sum[r][0] = FoldRun<kHasMin>(dot[r][0], scale0, min0, row_scales + r, row_sum, sum[r][0]);
      sum[r][1] = FoldRun<kHasMin>(dot[r][1], scale1, min1, row_scales + r, row_sum, sum[r][1]);
    }
    if constexpr (kHasMin) {
      mins += kPanelOutputs;
      row_sums += kBlockRows;
    } else {
      corrections += kBlockRows;
    }
    scales += kPanelOutputs;
    const bool group_ends = kRuns == 1 || run % kRuns == kRuns - 1;
    codes += kRuns == 1 ? tile.group_stride
                        : (group_ends ? tile.group_stride - kQuads * 64 : kQuads * 64);
    row_codes += group_ends ? kBlockRows * kGroupValues - (kRuns - 1) * kQuads * 4 : kQuads * 4;
    if (group_ends) row_scales += kBlockRows;
  }
  StoreSums(sum, sums);
}

using TileKernel = void (*)(const GroupTile&, const int8_t*, const float*, const int32_t*,
                            const float*, SteadyPrefetch*, float*);

template <int kQuads, bool kHasMin>
constexpr TileKernel kTileKernels[kTileRows + 1] = {
    nullptr,
    MultiplyTile<1, kQuads, kHasMin>,
    MultiplyTile<2, kQuads, kHasMin>,
    MultiplyTile<3, kQuads, kHasMin>,
    MultiplyTile<4, kQuads, kHasMin>,
    MultiplyTile<5, kQuads, kHasMin>,
    MultiplyTile<6, kQuads, kHasMin>,
};

void MultiplyGroups(const GroupTile& tile, const QuantizedRows& rows, int64_t num_rows,
                    float* sums) {
  const TileKernel* kernels = tile.scale_values == 16 ? kTileKernels<4, false>
                              : tile.mins != nullptr  ? kTileKernels<8, true>
                                                      : kTileKernels<8, false>;
  const int64_t num_tiles = (num_rows + kTileRows - 1) / kTileRows;
  const int runs = kGroupValues / tile.scale_values;
  SteadyPrefetch ahead(tile.ahead, num_tiles * tile.num_groups * runs);
  ForEvenTiles(num_rows, kTileRows, [&](int64_t row, int64_t count) {
    kernels[count](tile, rows.codes + row * kGroupValues, rows.scales + row, rows.corrections + row,
                   rows.sums + row, &ahead, sums + row * kPanelOutputs);
  });
}

template <int kRows>
RETORT_BF16 void MultiplyBf16Tile(const uint16_t* units, int64_t num_units, const uint16_t* rows,
                                  bool add, float* sums) {
  __m512 sum[kRows][2];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = add ? _mm512_loadu_ps(sums + r * kPanelOutputs) : _mm512_setzero_ps();
    sum[r][1] = add ? _mm512_loadu_ps(sums + r * kPanelOutputs + 16) : _mm512_setzero_ps();
  }
  for (int64_t unit = 0; unit < num_units; ++unit) {
#pragma GCC unroll 4
    for (int pair = 0; pair < 16; ++pair) {
      const auto w0 = (__m512bh)_mm512_loadu_si512(units + pair * 32);
      const auto w1 = (__m512bh)_mm512_loadu_si512(units + 512 + pair * 32);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        __m512i pairs = Broadcast4(rows + r * kBf16UnitValues + pair * 2);
#ifdef __clang__
        asm("" : "+v"(pairs));  // clang 16 crashes when it folds a broadcast of bf16
#endif
        const auto a = (__m512bh)pairs;
        sum[r][0] = _mm512_dpbf16_ps(sum[r][0], a, w0);
        sum[r][1] = _mm512_dpbf16_ps(sum[r][1], a, w1);
      }
    }
    units += kBf16UnitValues * kPanelOutputs;
    rows += kBlockRows * kBf16UnitValues;
  }
  StoreSums(sum, sums);
}

void MultiplyBf16(const uint16_t* units, int64_t num_units, const uint16_t* rows,
                  size_t block_stride, int64_t num_rows, bool add, float* sums) {
  using Kernel = void (*)(const uint16_t*, int64_t, const uint16_t*, bool, float*);
  constexpr Kernel kKernels[kTileRows + 1] = {
      nullptr,
      MultiplyBf16Tile<1>,
      MultiplyBf16Tile<2>,
      MultiplyBf16Tile<3>,
      MultiplyBf16Tile<4>,
      MultiplyBf16Tile<5>,
      MultiplyBf16Tile<6>,
  };
  for (int64_t begin = 0; begin < num_rows; begin += kBlockRows) {
    const uint16_t* block = rows + static_cast<size_t>(begin / kBlockRows) * block_stride;
    const int in_block = static_cast<int>(std::min<int64_t>(kBlockRows, num_rows - begin));
    ForEvenTiles(in_block, kTileRows, [&](int64_t row, int64_t count) {
      kKernels[count](units, num_units, block + row * kBf16UnitValues, add,
                      sums + (begin + row) * kPanelOutputs);
    });
  }
}

}  // namespace

LinearKernels VnniKernels(const LinearKernels& lower) {
  LinearKernels kernels = lower;
  kernels.multiply_groups = MultiplyGroups;
  AddVnniPacked(&kernels);
  AddVnniInt16(&kernels);
  return kernels;
}

LinearKernels VnniBf16Kernels(const LinearKernels& lower) {
  LinearKernels kernels = lower;
  kernels.multiply_bf16 = MultiplyBf16;
  kernels.multiply_int16 = nullptr;  // no faster, and less exact
  return kernels;
}

}  // namespace retort::cpu

#else

namespace retort::cpu {
LinearKernels VnniKernels(const LinearKernels& lower) { return lower; }
LinearKernels VnniBf16Kernels(const LinearKernels& lower) { return lower; }
}  // namespace retort::cpu

#endif
