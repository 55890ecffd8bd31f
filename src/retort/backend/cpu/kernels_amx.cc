#include "retort/backend/cpu/amx_tiles.h"
#include "retort/backend/cpu/decode_amx.h"
#include "retort/backend/cpu/linear_kernels.h"

#if defined(__x86_64__)

#include <algorithm>

#define RETORT_AMX                                                          \
  __attribute__((                                                           \
      target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi," \
             "avx512fp16,avx512bf16,amx-tile,amx-bf16")))

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

// Two blocks of rows by two tiles of outputs, or one by two: sums stay in tiles 0-3.
template <bool kTwoBlocks>
RETORT_AMX RETORT_INLINE void MultiplyBlocks(const uint16_t* w, int64_t num_units,
                                             const uint16_t* a0, const uint16_t* a1, bool add,
                                             float* sums) {
  constexpr int kUnitBytes = kBf16UnitValues * 2;
  constexpr int kSumBytes = kPanelOutputs * 4;
  float* sums1 = sums + kBlockRows * kPanelOutputs;
  if (add) {
    _tile_loadd(0, sums, kSumBytes);
    _tile_loadd(1, sums + 16, kSumBytes);
    if constexpr (kTwoBlocks) {
      _tile_loadd(2, sums1, kSumBytes);
      _tile_loadd(3, sums1 + 16, kSumBytes);
    }
  } else {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (kTwoBlocks) {
      _tile_zero(2);
      _tile_zero(3);
    }
  }
  for (int64_t unit = 0; unit < num_units; ++unit) {
    // Rows come from the L2 cache, a weight's part from L1. To prefetch rows costs more than it
    // saves.
    _tile_loadd(6, w, 64);
    _tile_loadd(4, a0, kUnitBytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kTwoBlocks) {
      _tile_loadd(5, a1, kUnitBytes);
      _tile_dpbf16ps(2, 5, 6);
    }
    _tile_loadd(7, w + 512, 64);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kTwoBlocks) _tile_dpbf16ps(3, 5, 7);
    w += kBf16UnitValues * kPanelOutputs;
    a0 += kBlockRows * kBf16UnitValues;
    a1 += kBlockRows * kBf16UnitValues;
  }
  _tile_stored(0, sums, kSumBytes);
  _tile_stored(1, sums + 16, kSumBytes);
  if constexpr (kTwoBlocks) {
    _tile_stored(2, sums1, kSumBytes);
    _tile_stored(3, sums1 + 16, kSumBytes);
  }
}

RETORT_AMX void MultiplyBf16(const uint16_t* units, int64_t num_units, const uint16_t* rows,
                             size_t block_stride, int64_t num_rows, bool add, float* sums) {
  asm volatile("" ::: "memory");  // tile loads read what was stored before
  for (int64_t begin = 0; begin < num_rows; begin += 2 * kBlockRows) {
    const uint16_t* a0 = rows + static_cast<size_t>(begin / kBlockRows) * block_stride;
    float* to = sums + begin * kPanelOutputs;
    if (begin + kBlockRows < num_rows) {
      MultiplyBlocks<true>(units, num_units, a0, a0 + block_stride, add, to);
    } else {
      MultiplyBlocks<false>(units, num_units, a0, a0, add, to);
    }
  }
  asm volatile("" ::: "memory");
}

// Units decoded and not yet multiplied, at most.
constexpr int64_t kLag = 3;
static_assert(kLag < kFusedUnits);

template <ScaleKind kKind, int kBits, bool kTwoBlocks>
RETORT_AMX void MultiplyFused(const std::byte* panel, int exponent, int64_t num_groups,
                              const uint16_t* rows, size_t block_stride, UnpackScratch* scratch,
                              uint16_t* units, float* sums) {
  constexpr int kUnitBytes = kBf16UnitValues * 2;
  constexpr int kSumBytes = kPanelOutputs * 4;
  float* sums1 = sums + kBlockRows * kPanelOutputs;
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (kTwoBlocks) {
    _tile_zero(2);
    _tile_zero(3);
  }
  GroupDecoder<kKind, kBits> groups(panel, 0, exponent);
  for (int64_t group = 0; group < num_groups + kLag; ++group) {
    if (group < num_groups) {
      groups.Decode(scratch->codes, units + group % kFusedUnits * kGroupCodes);
    }
    if (group < kLag) continue;
    // What was decoded three groups ago has left for the cache, where tile loads find it at once.
    const uint16_t* w = units + (group - kLag) % kFusedUnits * kGroupCodes;
    asm volatile("" ::: "memory");  // tile loads read what was stored before
    _tile_loadd(4, rows, kUnitBytes);
    _tile_loadd(6, w, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, w + 512, 64);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kTwoBlocks) {
      _tile_loadd(5, rows + block_stride, kUnitBytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    rows += kBlockRows * kBf16UnitValues;
  }
  _tile_stored(0, sums, kSumBytes);
  _tile_stored(1, sums + 16, kSumBytes);
  if constexpr (kTwoBlocks) {
    _tile_stored(2, sums1, kSumBytes);
    _tile_stored(3, sums1 + 16, kSumBytes);
  }
  asm volatile("" ::: "memory");
}

template <ScaleKind kKind, int kBits>
struct FusedOneBlock {
  static constexpr auto value = MultiplyFused<kKind, kBits, false>;
};
template <ScaleKind kKind, int kBits>
struct FusedTwoBlocks {
  static constexpr auto value = MultiplyFused<kKind, kBits, true>;
};

void MultiplyDecoded(const GroupLayout& layout, const std::byte* panel, int exponent,
                     int64_t num_groups, const uint16_t* rows, size_t block_stride,
                     int64_t num_rows, UnpackScratch* scratch, uint16_t* units, float* sums) {
  const auto multiply = num_rows > kBlockRows ? InstanceFor<FusedTwoBlocks>(layout)
                                              : InstanceFor<FusedOneBlock>(layout);
  multiply(panel, exponent, num_groups, rows, block_stride, scratch, units, sums);
}

template <ScaleKind kKind, int kBits>
RETORT_AMX void DecodeGroups(const std::byte* panel, int exponent, int64_t group_begin,
                             int num_groups, UnpackScratch* scratch, uint16_t* units) {
  GroupDecoder<kKind, kBits> groups(panel, group_begin, exponent);
  for (int g = 0; g < num_groups; ++g, units += kGroupCodes) {
    groups.Decode(scratch->codes, units);
  }
}

template <ScaleKind kKind, int kBits>
struct DecodeInstance {
  static constexpr auto value = DecodeGroups<kKind, kBits>;
};

void DecodeToBf16(const GroupLayout& layout, const std::byte* panel, int exponent,
                  int64_t group_begin, int num_groups, UnpackScratch* scratch, uint16_t* units) {
  InstanceFor<DecodeInstance>(layout)(panel, exponent, group_begin, num_groups, scratch, units);
}

// Values below 2^-126 become 0, which tiles take them for anyway.
RETORT_AMX void RoundRow(const float* x, int64_t num_inputs, size_t stride, uint16_t* out) {
  // PlaceInUnit, of 16-bit values in each 16 bytes.
  const __m512i places = _mm512_set4_epi32(0x0f0e0b0a, 0x0d0c0908, 0x07060302, 0x05040100);
  for (int64_t k = 0; k < num_inputs; k += kBf16UnitValues, out += stride) {
    const int64_t rest = num_inputs - k;
    const uint32_t seen = rest >= kBf16UnitValues ? ~0u : (1u << rest) - 1;
    const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(seen), x + k);
    const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(seen >> 16), x + k + 16);
    const auto in_order = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    _mm512_storeu_si512(out, _mm512_shuffle_epi8(in_order, places));
  }
}

}  // namespace

LinearKernels AmxKernels(const LinearKernels& lower) {
  LinearKernels kernels = lower;
  kernels.begin = Begin;
  kernels.end = End;
  kernels.groups_as_bf16 = true;
  kernels.decode_groups_bf16 = DecodeToBf16;
  kernels.multiply_decoded = MultiplyDecoded;
  kernels.multiply_bf16 = MultiplyBf16;
  kernels.round_row = RoundRow;
  return kernels;
}

}  // namespace retort::cpu

#else

namespace retort::cpu {
LinearKernels AmxKernels(const LinearKernels& lower) { return lower; }
}  // namespace retort::cpu

#endif
