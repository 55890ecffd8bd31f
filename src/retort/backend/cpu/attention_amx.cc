#include "retort/backend/cpu/amx_tiles.h"
#include "retort/backend/cpu/vector_kernels.h"

#if defined(__x86_64__)

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "retort/backend/cpu/attention_state.h"
#include "retort/backend/cpu/store_pairs_avx512.h"

#define RETORT_AMX                                                                   \
  __attribute__((                                                                    \
      target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile," \
             "amx-bf16")))

// Attention of one tile of query rows over pages of bf16, by matrix tiles: queries and weights are
// rounded to bf16, scores, their softmax and all sums are f32. For each row: keys in ascending
// blocks of kPageTokens, segments of kSegmentTokens merged in ascending order. A tile's rows never
// mix, so a row's bits do not depend on who is beside it.
namespace retort::cpu::amx {
namespace {

constexpr int kBlockRows = 16;
constexpr int kNumBlocks = kTileRowsMax / kBlockRows;
constexpr int kDepth = 32;  // inputs of one product of tiles
constexpr int kLanes = kStateLanes;
constexpr int kDimMax = kStateDimMax;

// Sums 0 and 1 and left operand 4 of `num_rows` rows, right operands 6 and 7.
RETORT_AMX void Configure(int num_rows) {
  TileConfig config;
  for (const int tile : {0, 1, 4, 6, 7}) config.Set(tile, tile < 6 ? num_rows : 16);
  config.Load();
}

// One tile's queries, the state of its rows, and memory for a block of keys.
class Attention {
 public:
  RETORT_AMX explicit Attention(const AttendTile& tile) : tile_(tile), dim_(tile.head_dim) {
    constexpr float kLog2E = 1.44269504f;
    const __m512 scale = _mm512_set1_ps(tile.scale * kLog2E);
    for (int row = 0; row < tile.num_rows; ++row) {
      for (int d = 0; d < dim_; d += kDepth) {
        const float* from = tile.queries[row] + d;
        const __m512 low = _mm512_mul_ps(_mm512_loadu_ps(from), scale);
        const __m512 high = _mm512_mul_ps(_mm512_loadu_ps(from + kLanes), scale);
        _mm512_store_si512(Query(row / kBlockRows, d) + row % kBlockRows * kDepth,
                           (__m512i)_mm512_cvtne2ps_pbh(high, low));
      }
    }
  }

  RETORT_AMX void Run() {
    for (int row = 0; row < tile_.num_rows; ++row) {
      const int block = row / kBlockRows;
      const bool is_first = row % kBlockRows == 0;
      all_begin_[block] =
          is_first ? tile_.key_begin[row] : std::max(all_begin_[block], tile_.key_begin[row]);
      all_end_[block] =
          is_first ? tile_.key_end[row] : std::min(all_end_[block], tile_.key_end[row]);
    }
    Configure(std::min(tile_.num_rows, kBlockRows));
    // Whole blocks: a tile reads them.
    const int num_rows_read = (tile_.num_rows + kBlockRows - 1) / kBlockRows * kBlockRows;
    AttendPages(tile_, num_rows_read, &state_, &total_,
                [this](int32_t base, const std::byte* next) {
                  if (next != nullptr) Prefetch(next);
                  for (int block = 0; block * kBlockRows < tile_.num_rows; ++block)
                    AttendPage(base, block);
                });
    _tile_release();
  }

 private:
  // Asks for a page of keys and their values.
  RETORT_AMX void Prefetch(const std::byte* keys) const {
    const auto bytes = static_cast<size_t>(dim_) * kPageTokens * sizeof(uint16_t);
    const std::byte* values = keys + (tile_.values - tile_.keys);
    for (size_t i = 0; i < bytes; i += 64) _mm_prefetch(keys + i, _MM_HINT_T1);
    for (size_t i = 0; i < bytes; i += 64) _mm_prefetch(values + i, _MM_HINT_T1);
  }

  uint16_t* Query(int block, int d) { return queries_ + (block * dim_ + d) * kBlockRows; }

  RETORT_AMX void AttendPage(int32_t base, int block) {
    const int row_begin = block * kBlockRows;
    const int num_rows = std::min(kBlockRows, tile_.num_rows - row_begin);
    const size_t page = static_cast<size_t>(tile_.pages[base / kPageTokens]) * tile_.page_bytes;
    const auto* keys = reinterpret_cast<const uint16_t*>(tile_.keys + page);
    const auto* values = reinterpret_cast<const uint16_t*>(tile_.values + page);
    float* outs = state_.outs + row_begin * dim_;
    if (base >= all_begin_[block] && base + kPageTokens <= all_end_[block]) {
      Score(block, keys);
      MoveToLargest<true>(row_begin, num_rows);
      for (int r = 0; r < num_rows; ++r) Weigh<true>(row_begin + r, r);
      return AddValues(values, weights_[0], outs);
    }
    int begin_min = kPageTokens;
    int end_max = 0;
    for (int r = 0; r < num_rows; ++r) {
      const int begin = std::clamp<int>(tile_.key_begin[row_begin + r] - base, 0, kPageTokens);
      const int end = std::clamp<int>(tile_.key_end[row_begin + r] - base, 0, kPageTokens);
      seen_[r] = begin >= end ? 0 : (~0u >> (kPageTokens - end)) & (~0u << begin);
      if (seen_[r] == 0) continue;
      begin_min = std::min(begin_min, begin);
      end_max = std::max(end_max, end);
    }
    if (begin_min >= end_max) return;
    Score(block, keys);
    MoveToLargest<false>(row_begin, num_rows);
    for (int r = 0; r < num_rows; ++r) Weigh<false>(row_begin + r, r);
    // A weight of 0 must not meet what is no number: values nobody has written yet, or those of a
    // token that only some rows see.
    if (CopySeen(values, ~0u >> (kPageTokens - end_max) & (~0u << begin_min))) {
      return AddValues(seen_values_, weights_[0], outs);
    }
    for (int r = 0; r < num_rows; ++r) {
      if (seen_[r] != 0) AddValuesOfRow(r, values, outs);
    }
  }

  // scores_[r][key] = query · key.
  RETORT_AMX void Score(int block, const uint16_t* keys) {
    constexpr int kKeyBytes = kPageTokens * 4;  // of a pair of dimensions
    _tile_zero(0);
    _tile_zero(1);
    asm volatile("" ::: "memory");  // tile loads read what was stored before
    for (int d = 0; d < dim_; d += kDepth) {
      const uint16_t* pairs = keys + d * kPageTokens;
      _tile_loadd(4, Query(block, d), 64);
      _tile_loadd(6, pairs, kKeyBytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, pairs + 32, kKeyBytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    _tile_stored(0, scores_[0], kPageTokens * 4);
    _tile_stored(1, scores_[0] + kLanes, kPageTokens * 4);
    asm volatile("" ::: "memory");
  }

  // Moves the state of a block's rows to their new largest scores: all rows at once, since whether
  // one has a larger score is a guess the processor often gets wrong.
  template <bool kSeesAll>
  RETORT_AMX RETORT_INLINE void MoveToLargest(int row_begin, int num_rows) {
    alignas(64) float block_largest[kBlockRows];
    for (int r = 0; r < num_rows; ++r) {
      block_largest[r] =
          ReduceMax(_mm512_max_ps(SeenScores<kSeesAll>(r, 0), SeenScores<kSeesAll>(r, kLanes)));
    }
    const auto rows = static_cast<__mmask16>((1u << num_rows) - 1);
    const __m512 found = _mm512_maskz_load_ps(rows, block_largest);
    const __m512 before = _mm512_loadu_ps(state_.largest + row_begin);
    const __mmask16 moved = _mm512_mask_cmp_ps_mask(rows, found, before, _CMP_GT_OQ);
    if (moved == 0) return;
    const __m512 largest = _mm512_mask_mov_ps(before, moved, found);
    _mm512_storeu_ps(state_.largest + row_begin, largest);
    alignas(64) float factors[kBlockRows];
    _mm512_store_ps(factors, Exp2(_mm512_sub_ps(before, largest)));
    for (unsigned left = moved; left != 0; left &= left - 1) {
      const int r = __builtin_ctz(left);
      float* sums = state_.sums[row_begin + r];
      _mm512_store_ps(sums, _mm512_mul_ps(_mm512_load_ps(sums), _mm512_set1_ps(factors[r])));
      Scale(factors[r], state_.outs + (row_begin + r) * dim_);
    }
  }

  // Scores of 16 keys, -inf for those row r does not see.
  template <bool kSeesAll>
  RETORT_AMX RETORT_INLINE __m512 SeenScores(int r, int key) const {
    const __m512 scores = _mm512_load_ps(scores_[r] + key);
    if constexpr (kSeesAll) return scores;
    const auto seen = static_cast<__mmask16>(seen_[r] >> key);
    return _mm512_mask_blend_ps(seen, _mm512_set1_ps(-INFINITY), scores);
  }

  // Turns the scores of row r of the block into weights in bf16, relative to its largest score.
  template <bool kSeesAll>
  RETORT_AMX RETORT_INLINE void Weigh(int row, int r) {
    const __m512 base = _mm512_set1_ps(state_.largest[row]);
    __m512 low_weights = Exp2(_mm512_sub_ps(SeenScores<kSeesAll>(r, 0), base));
    __m512 high_weights = Exp2(_mm512_sub_ps(SeenScores<kSeesAll>(r, kLanes), base));
    if constexpr (!kSeesAll) {
      low_weights = _mm512_maskz_mov_ps(static_cast<__mmask16>(seen_[r]), low_weights);
      high_weights = _mm512_maskz_mov_ps(static_cast<__mmask16>(seen_[r] >> kLanes), high_weights);
    }
    _mm512_store_si512(weights_[r], (__m512i)_mm512_cvtne2ps_pbh(high_weights, low_weights));
    const __m512 sums = _mm512_load_ps(state_.sums[row]);
    _mm512_store_ps(state_.sums[row],
                    _mm512_add_ps(sums, _mm512_add_ps(low_weights, high_weights)));
  }

  RETORT_AMX static RETORT_INLINE float ReduceMax(__m512 x) {
    const __m256 y = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 z = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    z = _mm_max_ps(z, _mm_movehl_ps(z, z));
    return _mm_cvtss_f32(_mm_max_ss(z, _mm_movehdup_ps(z)));
  }

  RETORT_AMX RETORT_INLINE void Scale(float factor, float* outs) const {
    const __m512 factors = _mm512_set1_ps(factor);
    for (int d = 0; d < dim_; d += kLanes) {
      _mm512_store_ps(outs + d, _mm512_mul_ps(_mm512_load_ps(outs + d), factors));
    }
  }

  // outs += weights · values, 16 rows of weights.
  RETORT_AMX void AddValues(const uint16_t* values, const uint16_t* weights, float* outs) const {
    const int out_bytes = dim_ * 4;
    const int value_bytes = dim_ * 4;  // of a pair of keys
    asm volatile("" ::: "memory");
    _tile_loadd(4, weights, 64);
    for (int d = 0; d < dim_; d += kDepth) {
      _tile_loadd(0, outs + d, out_bytes);
      _tile_loadd(6, values + d * 2, value_bytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(1, outs + d + kLanes, out_bytes);
      _tile_loadd(7, values + (d + kLanes) * 2, value_bytes);
      _tile_dpbf16ps(1, 4, 7);
      _tile_stored(0, outs + d, out_bytes);
      _tile_stored(1, outs + d + kLanes, out_bytes);
    }
    asm volatile("" ::: "memory");
  }

  // The values of the keys in `seen` to seen_values_, 0 for the others. False if one is not finite.
  RETORT_AMX bool CopySeen(const uint16_t* values, uint32_t seen) {
    const __m512i exponent = _mm512_set1_epi16(0x7f80);
    __mmask32 special = 0;
    for (int pair = 0; pair < kPageTokens / 2; ++pair, seen >>= 2) {
      // Values of the two keys alternate.
      const auto lanes = static_cast<__mmask32>(((seen & 1) != 0 ? 0x55555555u : 0u) |
                                                ((seen & 2) != 0 ? 0xaaaaaaaau : 0u));
      for (int d = 0; d < dim_; d += kLanes) {
        const int at = (pair * dim_ + d) * 2;
        const __m512i v = _mm512_maskz_loadu_epi16(lanes, values + at);
        special |= _mm512_cmpeq_epi16_mask(_mm512_and_si512(v, exponent), exponent);
        _mm512_store_si512(seen_values_ + at, v);
      }
    }
    return special == 0;
  }

  // The same for row r of the block alone.
  RETORT_AMX void AddValuesOfRow(int r, const uint16_t* values, float* outs) {
    CopySeen(values, seen_[r]);
    alignas(64) float result[kBlockRows * kDimMax];
    std::memcpy(result + r * dim_, outs + r * dim_, static_cast<size_t>(dim_) * sizeof(float));
    AddValues(seen_values_, weights_[0], result);
    std::memcpy(outs + r * dim_, result + r * dim_, static_cast<size_t>(dim_) * sizeof(float));
  }

  alignas(64) uint16_t queries_[kNumBlocks * kBlockRows * kDimMax];  // [block][d / 32][16][32]
  alignas(64) float scores_[kBlockRows][kPageTokens];
  alignas(64) uint16_t weights_[kBlockRows][kPageTokens];
  alignas(64) uint16_t seen_values_[kPageTokens * kDimMax];
  SoftmaxState state_;
  SoftmaxState total_;
  const AttendTile& tile_;
  const int dim_;
  int32_t all_begin_[kNumBlocks];  // keys that all rows of a block see
  int32_t all_end_[kNumBlocks];
  uint32_t seen_[kBlockRows];  // keys of the page at hand, where rows see different ones
};

void Attend(const AttendTile& tile) {
  if (tile.format != Format::kBF16 || tile.head_dim % kDepth != 0 || tile.head_dim > kDimMax) {
    return avx512::kKernels.attend(tile);
  }
  Attention(tile).Run();
}

// Values below 2^-126 become 0, which tiles take them for anyway.
RETORT_AMX void StorePaired(const float* key, const float* value, int head_dim, int token,
                            uint16_t* keys, uint16_t* values) {
  alignas(64) uint16_t rounded[kHeadDimMax];
  const auto round = [&](const float* from) RETORT_AMX {
    for (int d = 0; d < head_dim; d += kDepth) {
      _mm512_store_si512(rounded + d,
                         (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + d + kLanes),
                                                      _mm512_loadu_ps(from + d)));
    }
  };
  round(key);
  StoreKeyPairs(rounded, head_dim, token, keys);
  round(value);
  StoreValuePairs(rounded, head_dim, token, values);
}

}  // namespace

const VectorKernels& Kernels() {
  static const VectorKernels kernels = [] {
    VectorKernels added = avx512::kKernels;
    added.attend = Attend;
    added.store_paired = StorePaired;
    return added;
  }();
  return kernels;
}

}  // namespace retort::cpu::amx

#endif  // __x86_64__
