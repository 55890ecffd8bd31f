#include "retort/backend/cpu/linear_kernels.h"

#if defined(__x86_64__)

#include "retort/backend/cpu/tile_avx512.h"

// VPDPBUSD on codes as they come out of their planes, without a way through memory: for few rows,
// whose products take less time than to store and load codes.
namespace retort::cpu {
namespace {

// Rows up to which sums stay in registers, beside the integers of a group.
constexpr int kRegisterRows = 6;

// Codes [lane 16][4] of one quad of half a panel's outputs, as group_layout.h says.
template <int kBits>
RETORT_VNNI RETORT_INLINE __m512i LoadQuad(const std::byte* planes, int half, int quad) {
  if constexpr (kBits == 8) return _mm512_loadu_si512(planes + half * 512 + quad * 64);
  const int byte = quad % 4;
  const bool is_high = quad >= 4;
  __m512i v = _mm512_loadu_si512(planes + half * 256 + byte * 64);
  if (is_high) v = _mm512_srli_epi16(v, 4);
  v = _mm512_and_si512(v, _mm512_set1_epi8(15));
  if constexpr (kBits == 5) {
    const std::byte* masks = planes + 512 + half * 64 + quad * 8;
    v = _mm512_mask_add_epi8(v, LoadAs<uint64_t>(masks), v, _mm512_set1_epi8(16));
  }
  if constexpr (kBits == 6) {
    const std::byte* top = planes + 512 + half * 128 + (is_high ? 64 : 0);
    v = _mm512_or_si512(v, TopBits(_mm512_loadu_si512(top), byte));
  }
  return v;
}

template <ScaleKind kKind>
constexpr int kRuns = kKind == ScaleKind::kSuper16 ? 2 : 1;
template <ScaleKind kKind>
constexpr int kQuads = 8 / kRuns<kKind>;

// Quad i of a run: nibbles that share a byte follow each other.
template <ScaleKind kKind>
RETORT_INLINE int QuadOf(int run, int i) {
  return kRuns<kKind> == 2 ? run * kQuads<kKind> + i : (i % 2) * 4 + i / 2;
}

template <ScaleKind kKind>
RETORT_VNNI RETORT_INLINE __m512i FirstDot(const int32_t* correction) {
  return kHasMin<kKind> ? _mm512_setzero_si512() : _mm512_set1_epi32(*correction);
}

// Few rows over a whole panel. Sums are those of MultiplyTile (kernels_vnni.cc), bit by bit:
// integers are exact in any order, and FoldRun is the same.
template <int kRows, ScaleKind kKind, int kBits>
RETORT_VNNI void MultiplyPackedTile(const std::byte* panel, int64_t num_groups,
                                    const int8_t* row_codes, const float* row_scales,
                                    const int32_t* corrections, const float* row_sums,
                                    float* sums) {
  __m512 sum[kRows][2];
  LoadSums(sums, sum);
  GroupWalk<kKind, kBits> walk(panel, 0);
  for (int64_t group = 0; group < num_groups; ++group) {
    walk.PrefetchAhead();
#pragma GCC unroll 2
    for (int run = 0; run < kRuns<kKind>; ++run) {
      __m512i dot[kRows][2];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) dot[r][0] = dot[r][1] = FirstDot<kKind>(corrections + r);
#pragma GCC unroll 8
      for (int i = 0; i < kQuads<kKind>; ++i) {
        const int quad = QuadOf<kKind>(run, i);
        const __m512i w0 = LoadQuad<kBits>(walk.planes(), 0, quad);
        const __m512i w1 = LoadQuad<kBits>(walk.planes(), 1, quad);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const __m512i a = Broadcast4(row_codes + r * kGroupValues + quad * 4);
          dot[r][0] = _mm512_dpbusd_epi32(dot[r][0], w0, a);
          dot[r][1] = _mm512_dpbusd_epi32(dot[r][1], w1, a);
        }
      }
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const ScaleAndMin weight = LoadScale(kKind, walk.record(), walk.header(), half, run);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          sum[r][half] = FoldRun<kHasMin<kKind>>(dot[r][half], weight.scale, weight.min,
                                                 row_scales + r, row_sums + r, sum[r][half]);
        }
      }
      corrections += kBlockRows;
      row_sums += kBlockRows;
    }
    row_codes += kBlockRows * kGroupValues;
    row_scales += kBlockRows;
    walk.Advance();
  }
  StoreSums(sum, sums);
}

// Sum += codes · four codes of a row, with the row's straight from memory.
RETORT_VNNI RETORT_INLINE void AddDots(__m512i codes, const int8_t* row, __m512i* sum) {
  using Four = const int32_t __attribute__((may_alias, aligned(1)));
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(*sum) : "v"(codes), "m"(*reinterpret_cast<Four*>(row)));
}

// The same for more rows by half a panel's outputs at a time: all of them are multiplied with codes
// that are taken out of their planes once, and memory is asked at an even pace.
template <int kRows, ScaleKind kKind, int kBits>
RETORT_VNNI void MultiplyPackedHalves(const std::byte* panel, int64_t num_groups,
                                      const int8_t* row_codes, const float* row_scales,
                                      const int32_t* corrections, const float* row_sums,
                                      float* sums) {
  GroupWalk<kKind, kBits> walk(panel, 0);
  for (int64_t group = 0; group < num_groups; ++group) {
    walk.PrefetchAhead();
    for (int run = 0; run < kRuns<kKind>; ++run) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        __m512i dot[kRows];
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) dot[r] = FirstDot<kKind>(corrections + r);
#pragma GCC unroll 8
        for (int i = 0; i < kQuads<kKind>; ++i) {
          const int quad = QuadOf<kKind>(run, i);
          const __m512i w = LoadQuad<kBits>(walk.planes(), half, quad);
#pragma GCC unroll 16
          for (int r = 0; r < kRows; ++r) {
            AddDots(w, row_codes + r * kGroupValues + quad * 4, &dot[r]);
          }
        }
        const ScaleAndMin weight = LoadScale(kKind, walk.record(), walk.header(), half, run);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          float* at = sums + r * kPanelOutputs + half * 16;
          _mm512_storeu_ps(at,
                           FoldRun<kHasMin<kKind>>(dot[r], weight.scale, weight.min, row_scales + r,
                                                   row_sums + r, _mm512_loadu_ps(at)));
        }
      }
      corrections += kBlockRows;
      row_sums += kBlockRows;
    }
    row_codes += kBlockRows * kGroupValues;
    row_scales += kBlockRows;
    walk.Advance();
  }
}

using TileKernel = void (*)(const std::byte*, int64_t, const int8_t*, const float*, const int32_t*,
                            const float*, float*);

template <ScaleKind kKind, int kBits>
struct TileKernels {
  // Beyond kRegisterRows by fours: there is room for a block of rows.
  static constexpr TileKernel kByRows[kRegisterRows + 4] = {
      nullptr,
      MultiplyPackedTile<1, kKind, kBits>,
      MultiplyPackedTile<2, kKind, kBits>,
      MultiplyPackedTile<3, kKind, kBits>,
      MultiplyPackedTile<4, kKind, kBits>,
      MultiplyPackedTile<5, kKind, kBits>,
      MultiplyPackedTile<6, kKind, kBits>,
      MultiplyPackedHalves<8, kKind, kBits>,
      MultiplyPackedHalves<12, kKind, kBits>,
      MultiplyPackedHalves<16, kKind, kBits>,
  };
  static constexpr const TileKernel* value = kByRows;
};

void MultiplyPacked(const GroupLayout& layout, const std::byte* panel, int64_t num_groups,
                    const QuantizedRows& rows, int64_t num_rows, float* sums) {
  const TileKernel* kernels = InstanceFor<TileKernels>(layout);
  const int64_t kernel =
      num_rows <= kRegisterRows ? num_rows : kRegisterRows + (num_rows + 3) / 4 - 1;
  kernels[kernel](panel, num_groups, rows.codes, rows.scales, rows.corrections, rows.sums, sums);
}

}  // namespace

void AddVnniPacked(LinearKernels* kernels) { kernels->multiply_packed = MultiplyPacked; }

}  // namespace retort::cpu

#else

namespace retort::cpu {
void AddVnniPacked(LinearKernels*) {}
}  // namespace retort::cpu

#endif
