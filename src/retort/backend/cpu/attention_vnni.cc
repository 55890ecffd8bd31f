#include "retort/backend/cpu/vector_kernels.h"

#if defined(__x86_64__)

#include <algorithm>
#include <array>
#include <limits>

#include "retort/backend/cpu/attention_state.h"
#include "retort/backend/cpu/int16_vnni.h"
#include "retort/backend/cpu/store_pairs_avx512.h"

// Attention of one tile of query rows over pages of integers, of 16 or 8 bits, by VPDPWSSD: queries
// and weights are integers of 16 bits, sums of one page's products exact, scores, softmax and what
// pages add up to f32. For each row: keys in ascending blocks of kPageTokens, segments of
// kSegmentTokens merged in ascending order. Rows never mix, so a row's bits do not depend on who is
// beside it.
//
// Codes are at most kInt16CodeMax, so that kInt16HeadDimMax products fit 32 bits. Weights of a page
// are relative to the page's own largest, since a first token that takes most of the weight would
// leave others none of their bits.
namespace retort::cpu::vnni {
namespace {

constexpr int kRowsPerPass = 12;
constexpr int kLanes = kStateLanes;
// kPageTokens weights by codes of values fit 32 bits.
constexpr int kWeightMax = 16383;
static_assert(int64_t{kPageTokens} * kWeightMax * kInt16CodeMax <=
              std::numeric_limits<int32_t>::max());
static_assert(int64_t{kInt16HeadDimMax} * kInt16CodeMax * kInt16CodeMax <=
              std::numeric_limits<int32_t>::max());
static_assert(kPageTokens == 2 * kLanes && kRowsPerPass <= kLanes);

// One head's keys or values of a page: codes, in pairs as PagedIndex says, then a scale per token.
struct Page {
  const std::byte* codes;
  const float* scales;
  const std::byte* next;  // codes of the page that is worked on next
};

// 32 codes, of 16 bits or widened to them.
template <typename Code>
RETORT_VNNI RETORT_INLINE __m512i LoadCodes(const std::byte* from) {
  if constexpr (sizeof(Code) == 2) return _mm512_loadu_si512(from);
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

// What a tile's queries are multiplied by.
struct Queries {
  alignas(64) int16_t codes[kTileRowsMax][kInt16HeadDimMax];
  float scales[kTileRowsMax];  // log2(e) among them
};

// Which keys of the page at hand each of a pass's rows sees; null if all see all.
using Seen = const uint32_t*;

// scores[r][key] = query · key / the query's scale, kLowestScore for keys that are not seen.
template <typename Code, int kRows>
RETORT_VNNI RETORT_INLINE void Score(const int16_t (*queries)[kInt16HeadDimMax], int head_dim,
                                     const Page& keys, Seen seen, float* scores) {
  constexpr size_t kPairBytes = kPageTokens * 2 * sizeof(Code);
  __m512i dot[kRows][2];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) dot[r][0] = dot[r][1] = _mm512_setzero_si512();
  const std::byte* codes = keys.codes;
  const std::byte* next = keys.next;
  for (int d = 0; d < head_dim; d += 2, codes += kPairBytes, next += kPairBytes) {
    __builtin_prefetch(next, 0, 2);
    if constexpr (kPairBytes > 64) __builtin_prefetch(next + 64, 0, 2);
    const __m512i k0 = LoadCodes<Code>(codes);
    const __m512i k1 = LoadCodes<Code>(codes + kPairBytes / 2);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const __m512i q = Broadcast4(queries[r] + d);
      AddDots(k0, q, &dot[r][0]);
      AddDots(k1, q, &dot[r][1]);
    }
  }
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const __m512 scale = _mm512_loadu_ps(keys.scales + half * kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      __m512 score = _mm512_mul_ps(_mm512_cvtepi32_ps(dot[r][half]), scale);
      if (seen != nullptr) {
        score = _mm512_mask_mov_ps(_mm512_set1_ps(kLowestScore),
                                   static_cast<__mmask16>(seen[r] >> (half * kLanes)), score);
      }
      _mm512_store_ps(scores + r * kPageTokens + half * kLanes, score);
    }
  }
}

// The largest of four rows' scores each, in lanes 0 to 3.
RETORT_VNNI RETORT_INLINE __m128 LargestOfFour(const float* scores) {
  __m128 v[4];
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r, scores += kPageTokens) {
    const __m512 top = _mm512_max_ps(_mm512_load_ps(scores), _mm512_load_ps(scores + kLanes));
    const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(top), _mm512_extractf32x8_ps(top, 1));
    v[r] = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  }
  const __m128 first = _mm_max_ps(_mm_unpacklo_ps(v[0], v[1]), _mm_unpackhi_ps(v[0], v[1]));
  const __m128 second = _mm_max_ps(_mm_unpacklo_ps(v[2], v[3]), _mm_unpackhi_ps(v[2], v[3]));
  return _mm_max_ps(_mm_movelh_ps(first, second), _mm_movehl_ps(second, first));
}

// Scales of a page's values relative to the largest of those that are seen, times kWeightMax.
struct ValueScales {
  __m512 relative[2];
  float largest;
};

RETORT_VNNI RETORT_INLINE ValueScales RelativeScales(const float* scales, uint32_t seen) {
  const auto low = static_cast<__mmask16>(seen);
  const auto high = static_cast<__mmask16>(seen >> kLanes);
  const __m512 first = _mm512_maskz_loadu_ps(low, scales);
  const __m512 second = _mm512_maskz_loadu_ps(high, scales + kLanes);
  ValueScales found;
  // As integers, of which what is no number is the largest.
  found.largest = std::bit_cast<float>(_mm512_reduce_max_epu32(
      _mm512_max_epu32(_mm512_castps_si512(first), _mm512_castps_si512(second))));
  const float inverse =
      found.largest < std::numeric_limits<float>::min() ? 0.0f : kWeightMax / found.largest;
  found.relative[0] = _mm512_mul_ps(first, _mm512_set1_ps(inverse));
  found.relative[1] = _mm512_mul_ps(second, _mm512_set1_ps(inverse));
  return found;
}

// What a row's outputs so far, and what a page adds to them, are multiplied by.
struct Factors {
  alignas(64) float before[kLanes];
  alignas(64) float added[kLanes];
};

// Turns a pass's scores into weights, and moves its rows' largest scores and sums.
template <int kRows>
RETORT_VNNI RETORT_INLINE void Weigh(const float* query_scales, const float* value_scales,
                                     Seen seen, const float* scores, float* largest,
                                     float (*sums)[kLanes], int16_t* weights, Factors* factors) {
  alignas(64) float page_largest[kLanes];
#pragma GCC unroll 3
  for (int r = 0; r < kRows; r += 4) {
    _mm_store_ps(page_largest + r, LargestOfFour(scores + r * kPageTokens));
  }
  constexpr auto kAll = static_cast<__mmask16>((1u << kRows) - 1);
  const __m512 page_top = _mm512_mul_ps(_mm512_maskz_load_ps(kAll, page_largest),
                                        _mm512_maskz_loadu_ps(kAll, query_scales));
  _mm512_store_ps(page_largest, page_top);
  const __m512 before = _mm512_maskz_loadu_ps(kAll, largest);
  const __m512 top = _mm512_max_ps(before, page_top);
  _mm512_mask_storeu_ps(largest, kAll, top);
  const __m512 before_factor = Exp2(_mm512_sub_ps(before, top));
  const __m512 page_factor = Exp2(_mm512_sub_ps(page_top, top));
  _mm512_store_ps(factors->before, before_factor);
  alignas(64) float page_factors[kLanes];
  _mm512_store_ps(page_factors, page_factor);
  ValueScales values;
  if (seen == nullptr) values = RelativeScales(value_scales, ~0u);
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    if (seen != nullptr) values = RelativeScales(value_scales, seen[r]);
    const __m512 query_scale = _mm512_set1_ps(query_scales[r]);
    const __m512 base = _mm512_set1_ps(page_largest[r]);
    __m512 w[2];
    __m512i codes[2];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512 score = _mm512_load_ps(scores + r * kPageTokens + half * kLanes);
      // Rounded as the largest was: no difference is above 0.
      w[half] = Exp2(_mm512_sub_ps(_mm512_mul_ps(score, query_scale), base));
      if (seen != nullptr) {
        w[half] = _mm512_maskz_mov_ps(static_cast<__mmask16>(seen[r] >> (half * kLanes)), w[half]);
      }
      codes[half] = _mm512_cvtps_epi32(_mm512_mul_ps(w[half], values.relative[half]));
    }
    _mm512_store_si512(weights + r * kPageTokens, _mm512_packs_epi32(codes[0], codes[1]));
    const __m512 sum = _mm512_mul_ps(_mm512_load_ps(sums[r]), _mm512_set1_ps(factors->before[r]));
    _mm512_store_ps(
        sums[r], _mm512_fmadd_ps(_mm512_add_ps(w[0], w[1]), _mm512_set1_ps(page_factors[r]), sum));
    constexpr float kUnit = 1.0f / kWeightMax;
    factors->added[r] = page_factors[r] * (values.largest * kUnit);
  }
}

// outs[r] = outs[r] · before[r] + Σ weights[r][key] · codes of values[key] · added[r], for kVecs
// vectors of dimensions from `col`.
template <typename Code, int kRows, int kVecs>
RETORT_VNNI RETORT_INLINE void AddValues(const int16_t* weights, const Factors& factors,
                                         const Page& values, int head_dim, int col, float* outs) {
  __m512i dot[kRows][kVecs];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) dot[r][j] = _mm512_setzero_si512();
  }
  // VPACKSSDW has put four weights of each half of the page in turns: of pairs 0, 1, 8, 9, 2, 3,
  // ...
  constexpr ptrdiff_t kVecBytes = 2 * kLanes * sizeof(Code);
  const ptrdiff_t pair_bytes = head_dim / kLanes * kVecBytes;
  const std::byte* codes = values.codes + col / kLanes * kVecBytes;
  const ptrdiff_t next = values.next - values.codes;
  for (int lane = 0; lane < 4; ++lane, codes += 2 * pair_bytes, weights += 8) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const std::byte* pair = codes + (i / 2 * 8 + i % 2) * pair_bytes;
      __m512i v[kVecs];
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) {
        __builtin_prefetch(pair + next + j * kVecBytes, 0, 2);
        v[j] = LoadCodes<Code>(pair + j * kVecBytes);
      }
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const __m512i w = Broadcast4(weights + r * kPageTokens + 2 * i);
#pragma GCC unroll 4
        for (int j = 0; j < kVecs; ++j) AddDots(v[j], w, &dot[r][j]);
      }
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    const __m512 before = _mm512_set1_ps(factors.before[r]);
    const __m512 added = _mm512_set1_ps(factors.added[r]);
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) {
      float* out = outs + r * head_dim + col + j * kLanes;
      _mm512_store_ps(out, _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[r][j]), added,
                                           _mm512_mul_ps(_mm512_load_ps(out), before)));
    }
  }
}

// One page for kRows rows.
template <typename Code, int kRows>
RETORT_VNNI void AttendRows(const Queries& queries, int row, int head_dim, const Page& keys,
                            const Page& values, Seen seen, SoftmaxState* state) {
  constexpr int kWholeFours = (kRows + 3) / 4 * 4;
  alignas(64) float scores[kWholeFours * kPageTokens];
  alignas(64) int16_t weights[kRows * kPageTokens];
  Factors factors;
  Score<Code, kRows>(queries.codes + row, head_dim, keys, seen, scores);
  for (int r = kRows; r < kWholeFours; ++r) {  // not used, but read
    std::fill_n(scores + r * kPageTokens, kPageTokens, 0.0f);
  }
  Weigh<kRows>(queries.scales + row, values.scales, seen, scores, state->largest + row,
               state->sums + row, weights, &factors);
  // Sums that fit the registers.
  constexpr int kVecs = kRows > 6 ? 2 : 4;
  float* outs = state->outs + row * head_dim;
  int col = 0;
  for (; col + kVecs * kLanes <= head_dim; col += kVecs * kLanes) {
    AddValues<Code, kRows, kVecs>(weights, factors, values, head_dim, col, outs);
  }
  if constexpr (kVecs == 4) {  // a multiple of 2 vectors
    if (col < head_dim) AddValues<Code, kRows, 2>(weights, factors, values, head_dim, col, outs);
  }
}

using RowsKernel = void (*)(const Queries&, int, int, const Page&, const Page&, Seen,
                            SoftmaxState*);
template <typename Code>
constexpr std::array<RowsKernel, kRowsPerPass + 1> kByRows = {
    nullptr,
    AttendRows<Code, 1>,
    AttendRows<Code, 2>,
    AttendRows<Code, 3>,
    AttendRows<Code, 4>,
    AttendRows<Code, 5>,
    AttendRows<Code, 6>,
    AttendRows<Code, 7>,
    AttendRows<Code, 8>,
    AttendRows<Code, 9>,
    AttendRows<Code, 10>,
    AttendRows<Code, 11>,
    AttendRows<Code, 12>,
};

template <typename Code>
RETORT_VNNI void AttendCodes(const AttendTile& tile) {
  const int head_dim = tile.head_dim;
  const size_t code_bytes = static_cast<size_t>(head_dim) * kPageTokens * sizeof(Code);
  Queries queries;
  constexpr float kLog2E = 1.44269504f;
  for (int row = 0; row < tile.num_rows; ++row) {
    queries.scales[row] = QuantizeInt16(tile.queries[row], head_dim, head_dim, queries.codes[row]) *
                          (tile.scale * kLog2E);
  }
  SoftmaxState state;
  SoftmaxState total;
  const ptrdiff_t to_values = tile.values - tile.keys;
  AttendPages(tile, tile.num_rows, &state, &total, [&](int32_t base, const std::byte* next) {
    const std::byte* at = tile.KeysOfPage(base);
    if (next == nullptr) next = at;
    Page keys{at, reinterpret_cast<const float*>(at + code_bytes), next};
    Page values{at + to_values, reinterpret_cast<const float*>(at + to_values + code_bytes),
                next + to_values};
    ForEvenTiles(tile.num_rows, kRowsPerPass, [&](int64_t row, int64_t count) {
      uint32_t seen[kRowsPerPass];
      uint32_t all = ~0u;
      uint32_t any = 0;
      for (int r = 0; r < count; ++r) {
        const int begin = std::clamp<int>(tile.key_begin[row + r] - base, 0, kPageTokens);
        const int end = std::clamp<int>(tile.key_end[row + r] - base, 0, kPageTokens);
        seen[r] = begin >= end ? 0 : (~0u >> (kPageTokens - end)) & (~0u << begin);
        all &= seen[r];
        any |= seen[r];
      }
      if (any == 0) return;
      kByRows<Code>[static_cast<size_t>(count)](queries, static_cast<int>(row), head_dim, keys,
                                                values, all == ~0u ? nullptr : seen, &state);
      keys.next = keys.codes;  // has been asked for
      values.next = values.codes;
    });
  });
}

void Attend(const AttendTile& tile) {
  if (IsInt16Head(tile.head_dim)) {
    if (tile.format == Format::kBF16) return AttendCodes<int16_t>(tile);
    if (tile.format == Format::kI8) return AttendCodes<int8_t>(tile);
  }
  avx512::kKernels.attend(tile);
}

// Of 16-bit codes that are no more than 8 bits.
RETORT_VNNI void StoreKeyBytes(const int16_t* codes, int head_dim, int token, int8_t* keys) {
  int8_t* pairs = keys + PagedIndex(true, kPageTokens, 0, token);
  for (int d = 0; d < head_dim; d += 2 * kLanes) {
    alignas(32) int8_t bytes[2 * kLanes];
    _mm256_store_si256(reinterpret_cast<__m256i*>(bytes),
                       _mm512_cvtepi16_epi8(_mm512_load_si512(codes + d)));
    for (int i = 0; i < 2 * kLanes; i += 2) {
      std::memcpy(pairs + static_cast<ptrdiff_t>(d + i) * kPageTokens, bytes + i, 2);
    }
  }
}

RETORT_VNNI void StoreValueBytes(const int16_t* codes, int head_dim, int token, int8_t* values) {
  const bool is_odd = token % 2 != 0;
  int8_t* row = values + PagedIndex(true, head_dim, token / 2 * 2, 0);
  for (int d = 0; d < head_dim; d += 2 * kLanes) {
    const __m512i wide = _mm512_load_si512(codes + d);
    _mm512_mask_storeu_epi8(row + 2 * d, is_odd ? 0xaaaaaaaaaaaaaaaau : 0x5555555555555555u,
                            is_odd ? _mm512_slli_epi16(wide, 8) : wide);
  }
}

template <typename Code, int kCodeMax>
void StoreCodes(const float* key, const float* value, int head_dim, int token, std::byte* keys,
                std::byte* values) {
  const size_t code_bytes = static_cast<size_t>(head_dim) * kPageTokens * sizeof(Code);
  const auto scale = [=](std::byte* matrix) -> float& {
    return reinterpret_cast<float*>(matrix + code_bytes)[token];
  };
  alignas(64) int16_t codes[kHeadDimMax];
  const auto* bits = reinterpret_cast<const uint16_t*>(codes);
  scale(keys) = QuantizeInt16<kCodeMax>(key, head_dim, head_dim, codes);
  if constexpr (sizeof(Code) == 1) {
    StoreKeyBytes(codes, head_dim, token, reinterpret_cast<int8_t*>(keys));
  } else {
    StoreKeyPairs(bits, head_dim, token, reinterpret_cast<uint16_t*>(keys));
  }
  scale(values) = QuantizeInt16<kCodeMax>(value, head_dim, head_dim, codes);
  if constexpr (sizeof(Code) == 1) {
    StoreValueBytes(codes, head_dim, token, reinterpret_cast<int8_t*>(values));
  } else {
    StoreValuePairs(bits, head_dim, token, reinterpret_cast<uint16_t*>(values));
  }
}

}  // namespace

const VectorKernels& Kernels() {
  static const VectorKernels kernels = [] {
    VectorKernels added = avx512::kKernels;
    added.attend = Attend;
    added.store_int8 = StoreCodes<int8_t, 127>;
    added.store_int16 = StoreCodes<int16_t, kInt16CodeMax>;
    return added;
  }();
  return kernels;
}

}  // namespace retort::cpu::vnni

#endif  // __x86_64__
