#include "retort/backend/cpu/amx_tiles.h"
#include "retort/backend/cpu/linear_kernels.h"

#if defined(__x86_64__)

#include <algorithm>

#define RETORT_AMX                                                        \
  __attribute__((                                                         \
      target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,amx-tile," \
             "amx-bf16")))

// AMX tiles: bf16 products with f32 sums at any number of rows. Grouped integers are decoded to
// bf16, once per panel and call: to scale their own integer products group by group, the sums of
// every 32 inputs would have to leave the tiles, which takes several times as long as the products.
namespace retort::cpu {
namespace {

// Sums 0-3, rows 4-5, weights 6-7. A block with fewer rows than 16 takes less time.
RETORT_AMX void Begin(int64_t num_rows) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.Set(tile, tile < 6 ? static_cast<int>(std::min<int64_t>(num_rows, kBlockRows)) : 16);
  }
  config.Load();
}

RETORT_AMX void End() { _tile_release(); }

RETORT_AMX void MultiplyBf16(const uint16_t* units, int64_t num_units, const uint16_t* rows,
                             size_t block_stride, int64_t num_rows, float* sums) {
  constexpr int kUnitBytes = kBf16UnitValues * 2;
  constexpr int kSumBytes = kPanelOutputs * 4;
  constexpr int kAhead = 3 * kBlockRows * kBf16UnitValues;
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
        // Rows come from the L2 cache, a weight's part from L1.
#pragma GCC unroll 16
        for (int row = 0; row < kBlockRows; ++row) {
          _mm_prefetch(a0 + kAhead + row * kBf16UnitValues, _MM_HINT_T0);
          _mm_prefetch(a1 + kAhead + row * kBf16UnitValues, _MM_HINT_T0);
        }
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

// Adds the products of two units to the sums in tiles 0 and 1, and for two blocks in 2 and 3.
template <bool kTwoBlocks>
RETORT_AMX __attribute__((always_inline)) inline void AddUnits(const uint16_t* w, int num_units,
                                                               const uint16_t* a0,
                                                               const uint16_t* a1) {
  constexpr int kUnitBytes = kBf16UnitValues * 2;
  for (int unit = 0; unit < num_units; ++unit) {
    _tile_loadd(4, a0, kUnitBytes);
    _tile_loadd(6, w, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, w + 512, 64);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kTwoBlocks) {
      _tile_loadd(5, a1, kUnitBytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    w += kBf16UnitValues * kPanelOutputs;
    a0 += kBlockRows * kBf16UnitValues;
    a1 += kBlockRows * kBf16UnitValues;
  }
}

using DecodeKernel = decltype(LinearKernels::decode_groups_bf16);

template <bool kTwoBlocks>
RETORT_AMX void MultiplyFused(DecodeKernel decode, const GroupLayout& layout,
                              const std::byte* panel, int64_t num_groups, const uint16_t* rows,
                              size_t block_stride, UnpackScratch* scratch, uint16_t* units,
                              float* sums) {
  constexpr int kSumBytes = kPanelOutputs * 4;
  constexpr int kStep = kFusedUnits / 2;
  constexpr int64_t kStepRows = kStep * kBlockRows * kBf16UnitValues;
  float* sums1 = sums + kBlockRows * kPanelOutputs;
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (kTwoBlocks) {
    _tile_zero(2);
    _tile_zero(3);
  }
  // Decoded and not yet multiplied.
  uint16_t* ready = units;
  int num_ready = static_cast<int>(std::min<int64_t>(kStep, num_groups));
  decode(layout, panel, 0, num_ready, scratch, ready);
  for (int64_t group = num_ready; num_ready > 0;) {
    const auto num_next = static_cast<int>(std::min<int64_t>(kStep, num_groups - group));
    asm volatile("" ::: "memory");  // tile loads read what was stored before
    AddUnits<kTwoBlocks>(ready, num_ready, rows, rows + block_stride);
    rows += kStepRows;
    ready = ready == units ? units + kStep * kGroupCodes : units;
    if (num_next > 0) decode(layout, panel, group, num_next, scratch, ready);
    group += num_next;
    num_ready = num_next;
  }
  _tile_stored(0, sums, kSumBytes);
  _tile_stored(1, sums + 16, kSumBytes);
  if constexpr (kTwoBlocks) {
    _tile_stored(2, sums1, kSumBytes);
    _tile_stored(3, sums1 + 16, kSumBytes);
  }
  asm volatile("" ::: "memory");
}

}  // namespace

LinearKernels AmxKernels(const LinearKernels& lower) {
  LinearKernels kernels = lower;
  kernels.begin = Begin;
  kernels.end = End;
  kernels.groups_as_bf16 = true;
  static const DecodeKernel decode = lower.decode_groups_bf16;
  kernels.multiply_decoded = [](const GroupLayout& layout, const std::byte* panel,
                                int64_t num_groups, const uint16_t* rows, size_t block_stride,
                                int64_t num_rows, UnpackScratch* scratch, uint16_t* units,
                                float* sums) {
    (num_rows > kBlockRows ? MultiplyFused<true>
                           : MultiplyFused<false>)(decode, layout, panel, num_groups, rows,
                                                   block_stride, scratch, units, sums);
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
