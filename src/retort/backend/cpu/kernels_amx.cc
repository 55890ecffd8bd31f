#include "retort/backend/cpu/linear_kernels.h"

#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// GCC's own header reads a deliberately undefined value (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#define RETORT_AMX                                                                   \
  __attribute__((                                                                    \
      target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile," \
             "amx-int8,amx-bf16")))

// AMX tiles: bf16 with f32 sums at any number of rows; 8-bit groups whose int32 products are folded
// by AVX-512. The integers are exact, so rows may go either way between tiles and VPDPBUSD.
namespace retort::cpu {
namespace {

// With fewer rows a tile is emptier than VPDPBUSD is slow.
constexpr int64_t kTileRowsMin = 5;

struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  constexpr void Set(int tile, int num_rows, int num_bytes) {
    rows[tile] = static_cast<uint8_t>(num_rows);
    row_bytes[tile] = static_cast<uint16_t>(num_bytes);
  }
};

constexpr TileConfig MakeBf16Config() {  // sums 0-3, rows 4-5, weights 6-7
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) config.Set(tile, 16, 64);
  return config;
}

constexpr TileConfig MakeGroupConfig() {  // products 0-3, rows 4-5, weights 6-7
  TileConfig config;
  for (int tile = 0; tile < 4; ++tile) config.Set(tile, 16, 64);
  for (int tile = 4; tile < 6; ++tile) config.Set(tile, kBlockRows, kGroupValues);
  for (int tile = 6; tile < 8; ++tile) config.Set(tile, kGroupValues / 4, 64);
  return config;
}

RETORT_AMX void Begin(bool is_bf16) {
  static constexpr TileConfig kBf16Config = MakeBf16Config();
  static constexpr TileConfig kGroupConfig = MakeGroupConfig();
  _tile_loadconfig(is_bf16 ? &kBf16Config : &kGroupConfig);
}

RETORT_AMX void End() { _tile_release(); }

bool WantsSigned(int64_t num_rows, int scale_values) {
  return num_rows >= kTileRowsMin && scale_values == kGroupValues;
}

// Adds one group's products to the sums of 16 rows and 16 outputs.
template <bool kHasMin>
RETORT_AMX __attribute__((always_inline)) inline void Fold(const int32_t* products,
                                                           const float* scales, const float* mins,
                                                           const float* row_scales,
                                                           const float* row_sums, __m512* sum) {
  const __m512 scale = _mm512_loadu_ps(scales);
  const __m512 min = kHasMin ? _mm512_loadu_ps(mins) : _mm512_setzero_ps();
#pragma GCC unroll 16
  for (int r = 0; r < kBlockRows; ++r) {
    const __m512 product = _mm512_cvtepi32_ps(_mm512_load_si512(products + r * 16));
    sum[r] = _mm512_fmadd_ps(product, _mm512_mul_ps(scale, _mm512_set1_ps(row_scales[r])), sum[r]);
    if constexpr (kHasMin) sum[r] = _mm512_fmadd_ps(min, _mm512_set1_ps(row_sums[r]), sum[r]);
  }
}

// Multiplies one group of one block of rows by one half of a panel into product tile `slot`.
RETORT_AMX __attribute__((always_inline)) inline void Launch(int slot, const int8_t* row_codes,
                                                             const uint8_t* codes) {
  switch (slot) {
    case 0:
      _tile_zero(0);
      _tile_loadd(4, row_codes, kGroupValues);
      _tile_loadd(6, codes, 64);
      _tile_dpbssd(0, 4, 6);
      break;
    case 1:
      _tile_zero(1);
      _tile_loadd(5, row_codes, kGroupValues);
      _tile_loadd(7, codes, 64);
      _tile_dpbssd(1, 5, 7);
      break;
    case 2:
      _tile_zero(2);
      _tile_loadd(4, row_codes, kGroupValues);
      _tile_loadd(6, codes, 64);
      _tile_dpbssd(2, 4, 6);
      break;
    default:
      _tile_zero(3);
      _tile_loadd(5, row_codes, kGroupValues);
      _tile_loadd(7, codes, 64);
      _tile_dpbssd(3, 5, 7);
      break;
  }
}

RETORT_AMX __attribute__((always_inline)) inline void StoreProducts(int slot, int32_t* products) {
  switch (slot) {
    case 0:
      _tile_stored(0, products, 64);
      break;
    case 1:
      _tile_stored(1, products, 64);
      break;
    case 2:
      _tile_stored(2, products, 64);
      break;
    default:
      _tile_stored(3, products, 64);
      break;
  }
}

// One block of rows by one half of a panel. Four groups are under way at a time: a product tile is
// stored long after it was launched, so that nobody waits for it.
template <bool kHasMin>
RETORT_AMX void MultiplyBlock(const GroupTile& tile, int half, const int8_t* row_codes,
                              const float* row_scales, const float* row_sums, float* sums) {
  constexpr int kSlots = 4;
  constexpr int kGroupRows = kBlockRows * kGroupValues;
  alignas(64) int32_t products[kSlots][kBlockRows * 16];
  __m512 sum[kBlockRows];
#pragma GCC unroll 16
  for (int r = 0; r < kBlockRows; ++r) sum[r] = _mm512_loadu_ps(sums + r * kPanelOutputs);
  const uint8_t* codes = tile.codes + half * 512;
  const float* scales = tile.scales + half * 16;
  const float* mins = kHasMin ? tile.mins + half * 16 : nullptr;
#pragma GCC unroll 4
  for (int slot = 0; slot < kSlots; ++slot) {
    if (slot < tile.num_groups) {
      Launch(slot, row_codes + slot * kGroupRows,
             codes + static_cast<size_t>(slot) * tile.group_stride);
    }
  }
  for (int first = 0; first < tile.num_groups; first += kSlots) {
#pragma GCC unroll 4
    for (int slot = 0; slot < kSlots; ++slot) {
      const int group = first + slot;
      if (group >= tile.num_groups) break;
      StoreProducts(slot, products[slot]);
      const int next = group + kSlots;
      if (next < tile.num_groups) {
        Launch(slot, row_codes + next * kGroupRows,
               codes + static_cast<size_t>(next) * tile.group_stride);
      }
      Fold<kHasMin>(products[slot], scales, mins, row_scales, row_sums, sum);
      scales += kPanelOutputs;
      mins += kHasMin ? kPanelOutputs : 0;
      row_scales += kBlockRows;
      row_sums += kBlockRows;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kBlockRows; ++r) _mm512_storeu_ps(sums + r * kPanelOutputs, sum[r]);
}

void MultiplyGroups(const GroupTile& tile, const QuantizedRows& rows, int64_t num_rows,
                    float* sums) {
  for (int64_t begin = 0; begin < num_rows; begin += kBlockRows) {
    const auto block = static_cast<size_t>(begin / kBlockRows);
    const auto multiply = tile.mins != nullptr ? MultiplyBlock<true> : MultiplyBlock<false>;
    for (int half = 0; half < 2; ++half) {
      multiply(tile, half, rows.codes + block * rows.codes_stride,
               rows.scales + block * rows.scales_stride, rows.sums + block * rows.sums_stride,
               sums + begin * kPanelOutputs + half * 16);
    }
  }
}

RETORT_AMX void MultiplyBf16(const uint16_t* units, int64_t num_units, const uint16_t* rows,
                             size_t block_stride, int64_t num_rows, float* sums) {
  constexpr int kUnitBytes = kBf16UnitValues * 2;
  constexpr int kSumBytes = kPanelOutputs * 4;
  asm volatile("" ::: "memory");  // tile loads read what was stored before
  for (int64_t begin = 0; begin < num_rows; begin += 2 * kBlockRows) {
    const uint16_t* a0 = rows + static_cast<size_t>(begin / kBlockRows) * block_stride;
    const uint16_t* a1 = a0 + block_stride;
    const uint16_t* w = units;
    float* sums0 = sums + begin * kPanelOutputs;
    float* sums1 = sums0 + kBlockRows * kPanelOutputs;
    const bool two = begin + kBlockRows < num_rows;
    _tile_loadd(0, sums0, kSumBytes);
    _tile_loadd(1, sums0 + 16, kSumBytes);
    if (two) {
      _tile_loadd(2, sums1, kSumBytes);
      _tile_loadd(3, sums1 + 16, kSumBytes);
      for (int64_t unit = 0; unit < num_units; ++unit) {
        _tile_loadd(6, w, 64);
        _tile_loadd(4, a0, kUnitBytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a1, kUnitBytes);
        _tile_dpbf16ps(2, 5, 6);
        _tile_loadd(7, w + 512, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
        w += kBf16UnitValues * kPanelOutputs;
        a0 += kBlockRows * kBf16UnitValues;
        a1 += kBlockRows * kBf16UnitValues;
      }
      _tile_stored(2, sums1, kSumBytes);
      _tile_stored(3, sums1 + 16, kSumBytes);
    } else {
      for (int64_t unit = 0; unit < num_units; ++unit) {
        _tile_loadd(4, a0, kUnitBytes);
        _tile_loadd(6, w, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, w + 512, 64);
        _tile_dpbf16ps(1, 4, 7);
        w += kBf16UnitValues * kPanelOutputs;
        a0 += kBlockRows * kBf16UnitValues;
      }
    }
    _tile_stored(0, sums0, kSumBytes);
    _tile_stored(1, sums0 + 16, kSumBytes);
  }
}

}  // namespace

LinearKernels AmxKernels(const LinearKernels& lower) {
  // Tiles for signed codes; what is not signed stays with the level below.
  static const auto multiply_unsigned = lower.multiply_groups;
  LinearKernels kernels = lower;
  kernels.begin = Begin;
  kernels.end = End;
  kernels.wants_signed = WantsSigned;
  kernels.multiply_groups = [](const GroupTile& tile, const QuantizedRows& rows, int64_t num_rows,
                               float* sums) {
    (tile.is_signed ? MultiplyGroups : multiply_unsigned)(tile, rows, num_rows, sums);
  };
  kernels.multiply_bf16 = MultiplyBf16;
  return kernels;
}

}  // namespace retort::cpu

#else

namespace retort::cpu {
LinearKernels AmxKernels(const LinearKernels& lower) { return lower; }
}  // namespace retort::cpu

#endif
