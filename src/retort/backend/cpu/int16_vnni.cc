#include "retort/backend/cpu/linear_kernels.h"

#if defined(__x86_64__)

#include <algorithm>
#include <utility>

#include "retort/backend/cpu/int16_vnni.h"

// Products of 16-bit integers by VPDPWSSD, for weights in bf16 where bf16 has no fast products.
//
// A weight's code has 13 bits and takes no more in memory. A block's 16 vectors [pair 8][half 2],
// of 16 outputs' pairs each, are 13 there: vector i holds code i in the upper 13 bits of each word,
// and below them 3 bits of another. Code 13 + j is cut, from its first bit on, into 3 bits for each
// of the vectors 4j to 4j + 3 and one, bit j of vector 12.
namespace retort::cpu {
namespace {

constexpr int kTileRows = 8;
constexpr int64_t kChunkRowValues = int64_t{kBlockRows} * kInt16ChunkValues;
constexpr int kWholeVectors = 13;
constexpr int kCutVectors = 3;
constexpr int kSpareBits = 16 - kInt16CodeBits;
constexpr int kSpareMask = (1 << kSpareBits) - 1;
constexpr size_t kVectorBytes = 64;
constexpr size_t kPairBytes = 2 * kVectorBytes;
static_assert(kWholeVectors + kCutVectors == 2 * kInt16BlockPairs);
static_assert(kWholeVectors * kVectorBytes == kInt16BlockBytes);

// A chunk's codes in 16 bits: [pair][half][lane 16][2].
struct Int16Codes {
  alignas(64) std::byte bytes[kInt16ChunkValues / 2 * kPairBytes];
};

// `to`, but the bits of `mask` from `from`, where `to` has none.
RETORT_AVX512 RETORT_INLINE __m512i Insert(__m512i to, __m512i from, int mask) {
  constexpr int kFirstOrBothOthers = 0xf8;
  return _mm512_ternarylogic_epi32(to, from, _mm512_set1_epi16(static_cast<int16_t>(mask)),
                                   kFirstOrBothOthers);
}

// Takes the vectors of a block out of it, one after the other from 0 on.
class BlockReader {
 public:
  RETORT_AVX512 RETORT_INLINE explicit BlockReader(const std::byte* block) : block_(block) {}

  template <int kVector>
  RETORT_AVX512 RETORT_INLINE __m512i Take() {
    if constexpr (kVector >= kWholeVectors) {
      return _mm512_srai_epi16(cut_[kVector - kWholeVectors], kSpareBits);
    } else {
      const __m512i words = _mm512_loadu_si512(block_ + kVector * kVectorBytes);
      if constexpr (kVector == kWholeVectors - 1) {
        constexpr int kLastBit = 1 << kSpareBits;
        cut_[0] = Insert(cut_[0], _mm512_slli_epi16(words, kSpareBits), kLastBit);
        cut_[1] = Insert(cut_[1], _mm512_slli_epi16(words, kSpareBits - 1), kLastBit);
        cut_[2] = Insert(cut_[2], _mm512_slli_epi16(words, kSpareBits - 2), kLastBit);
      } else {
        constexpr int kPlace = kInt16CodeBits - kSpareBits * (kVector % 4);
        const __m512i piece = _mm512_slli_epi16(words, kPlace);
        __m512i& cut = cut_[kVector / 4];
        cut = kVector % 4 == 0 ? piece : Insert(cut, piece, kSpareMask << kPlace);
      }
      return _mm512_srai_epi16(words, kSpareBits);
    }
  }

 private:
  const std::byte* block_;
  __m512i cut_[kCutVectors];
};

// The other way round.
RETORT_AVX512 void PackBlock(const std::byte* codes, std::byte* block) {
  const auto code = [=](int vector) RETORT_AVX512 {
    return _mm512_load_si512(codes + static_cast<size_t>(vector) * kVectorBytes);
  };
  const __m512i cut[kCutVectors] = {code(kWholeVectors), code(kWholeVectors + 1),
                                    code(kWholeVectors + 2)};
#pragma GCC unroll 13
  for (int vector = 0; vector < kWholeVectors; ++vector, block += kVectorBytes) {
    __m512i words = _mm512_slli_epi16(code(vector), kSpareBits);
    if (vector < kWholeVectors - 1) {
      const int place = kInt16CodeBits - kSpareBits * (vector % 4 + 1);
      const __m512i piece = _mm512_srl_epi16(cut[vector / 4], _mm_cvtsi32_si128(place));
      words = Insert(words, piece, kSpareMask);
    } else {
      words = Insert(words, cut[0], 1);
      words = Insert(words, _mm512_slli_epi16(cut[1], 1), 2);
      words = Insert(words, _mm512_slli_epi16(cut[2], 2), 4);
    }
    _mm512_storeu_si512(block, words);
  }
}

template <int kRows>
RETORT_VNNI RETORT_INLINE void AddPair(__m512i w0, __m512i w1, const int16_t* rows,
                                       __m512i (&dot)[kRows][2]) {
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const __m512i x = Broadcast4(rows + r * kInt16ChunkValues);
    AddDots(w0, x, &dot[r][0]);
    AddDots(w1, x, &dot[r][1]);
  }
}

// A block's products, and its codes in 16 bits: storing them for nobody, where there is one tile,
// costs no time.
template <int kRows, int... kPairs>
RETORT_VNNI RETORT_INLINE void AddPackedBlock(std::integer_sequence<int, kPairs...>,
                                              const std::byte* block, const int16_t* rows,
                                              std::byte* codes, __m512i (&dot)[kRows][2]) {
  BlockReader reader(block);
  const auto add = [&]<int kPair>() RETORT_VNNI {
    // What memory is asked for meanwhile: it comes next in this panel, or in the one that follows.
    const std::byte* ahead = block + kInt16ChunkBytes + kPair * kVectorBytes;
    __builtin_prefetch(ahead, 0, 3);
    if constexpr (kPair + kInt16BlockPairs < kWholeVectors) {
      __builtin_prefetch(ahead + kInt16BlockPairs * kVectorBytes, 0, 3);
    }
    const __m512i w0 = reader.template Take<2 * kPair>();
    const __m512i w1 = reader.template Take<2 * kPair + 1>();
    _mm512_store_si512(codes + kPair * kPairBytes, w0);
    _mm512_store_si512(codes + kPair * kPairBytes + kVectorBytes, w1);
    AddPair<kRows>(w0, w1, rows + 2 * kPair, dot);
  };
  (add.template operator()<kPairs>(), ...);
}

// One tile of rows by a chunk's inputs: their integers, then their fold. A chunk's first tile
// unpacks it on the way, for those after it.
template <int kRows, bool kIsFirst>
RETORT_VNNI void MultiplyTile(const std::byte* chunk, int64_t num_blocks, Int16Codes* unpacked,
                              const int16_t* rows, const float* row_scales, float* sums) {
  const std::byte* block = chunk + kInt16ScaleBytes;
  std::byte* codes = unpacked->bytes;
  // Rows of the next tile, where they follow: they come from the L2 cache, as much of them with
  // each block as it has of this one's.
  constexpr int kBlockValues = 2 * kInt16BlockPairs;
  constexpr int kLineValues = kCacheLineBytes / sizeof(int16_t);
  const int16_t* next_rows = rows + kRows * kInt16ChunkValues;
  __m512i dot[kRows][2];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) dot[r][0] = dot[r][1] = _mm512_setzero_si512();
  for (int64_t b = 0; b < num_blocks; ++b) {
#pragma GCC unroll 8
    for (int at = 0; at < kRows * kBlockValues; at += kLineValues) {
      __builtin_prefetch(next_rows + at, 0, 3);
    }
    if constexpr (kIsFirst) {
      AddPackedBlock<kRows>(std::make_integer_sequence<int, kInt16BlockPairs>{}, block, rows, codes,
                            dot);
    } else {
      for (int pair = 0; pair < kInt16BlockPairs; ++pair) {
        const __m512i w0 = _mm512_load_si512(codes + pair * kPairBytes);
        const __m512i w1 = _mm512_load_si512(codes + pair * kPairBytes + kVectorBytes);
        AddPair<kRows>(w0, w1, rows + 2 * pair, dot);
      }
    }
    block += kInt16BlockBytes;
    codes += kInt16BlockPairs * kPairBytes;
    rows += kBlockValues;
    next_rows += kRows * kBlockValues;
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

using TileKernel = void (*)(const std::byte*, int64_t, Int16Codes*, const int16_t*, const float*,
                            float*);

template <bool kIsFirst>
constexpr TileKernel kTileKernels[kTileRows + 1] = {
    nullptr,
    MultiplyTile<1, kIsFirst>,
    MultiplyTile<2, kIsFirst>,
    MultiplyTile<3, kIsFirst>,
    MultiplyTile<4, kIsFirst>,
    MultiplyTile<5, kIsFirst>,
    MultiplyTile<6, kIsFirst>,
    MultiplyTile<7, kIsFirst>,
    MultiplyTile<8, kIsFirst>,
};

void MultiplyInt16(const std::byte* panel, int64_t num_inputs, const Int16Rows& rows,
                   int64_t num_rows, float* sums) {
  static_assert(kBlockRows % kTileRows == 0);
  Int16Codes unpacked;
  int64_t chunk = 0;
  for (int64_t k = 0; k < num_inputs; k += kInt16ChunkValues, ++chunk) {
    const int64_t num_blocks = Int16Blocks(std::min<int64_t>(kInt16ChunkValues, num_inputs - k));
    const std::byte* weights = panel + static_cast<size_t>(chunk) * kInt16ChunkBytes;
    for (int64_t begin = 0; begin < num_rows; begin += kBlockRows) {
      const auto block = static_cast<size_t>(begin / kBlockRows);
      const int16_t* codes = rows.codes + block * rows.codes_stride + chunk * kChunkRowValues;
      const float* scales = rows.scales + block * rows.scales_stride + chunk * kBlockRows;
      ForEvenTiles(std::min<int64_t>(kBlockRows, num_rows - begin), kTileRows,
                   [&](int64_t row, int64_t count) {
                     const bool is_first = begin == 0 && row == 0;
                     const auto kernel =
                         (is_first ? kTileKernels<true> : kTileKernels<false>)[count];
                     kernel(weights, num_blocks, &unpacked, codes + row * kInt16ChunkValues,
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

constexpr int kOutputs = 16;  // that are packed together

// Word j of 16 bytes of each output, in words[j].
RETORT_AVX512 RETORT_INLINE void LoadWords(const std::byte* first, size_t stride,
                                           __m512i (&words)[4]) {
  const auto load = [=](size_t output) RETORT_AVX512 {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(first + output * stride));
  };
  __m512i rows[4];
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    rows[i] = _mm512_castsi128_si512(load(i));
    rows[i] = _mm512_inserti32x4(rows[i], load(i + 4), 1);
    rows[i] = _mm512_inserti32x4(rows[i], load(i + 8), 2);
    rows[i] = _mm512_inserti32x4(rows[i], load(i + 12), 3);
  }
  const __m512i low01 = _mm512_unpacklo_epi32(rows[0], rows[1]);
  const __m512i low23 = _mm512_unpacklo_epi32(rows[2], rows[3]);
  const __m512i high01 = _mm512_unpackhi_epi32(rows[0], rows[1]);
  const __m512i high23 = _mm512_unpackhi_epi32(rows[2], rows[3]);
  words[0] = _mm512_unpacklo_epi64(low01, low23);
  words[1] = _mm512_unpackhi_epi64(low01, low23);
  words[2] = _mm512_unpacklo_epi64(high01, high23);
  words[3] = _mm512_unpackhi_epi64(high01, high23);
}

// A chunk of each output in bf16, close together: where rows lie a power of two apart, their lines
// would push each other out of the L1 cache.
struct Bf16Chunk {
  alignas(64) std::byte values[kOutputs][kInt16ChunkValues * 2];
};

// Copies it, and finds each output's largest magnitude, as the bits of bf16.
RETORT_AVX512 __m512i LoadChunk(const std::byte* const* outputs, Bf16Chunk* chunk) {
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  alignas(64) std::byte eight[kOutputs][16];  // candidates of each
  for (int n = 0; n < kOutputs; ++n) {
    __m512i largest = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (size_t at = 0; at < sizeof chunk->values[n]; at += sizeof largest) {
      const __m512i bits = _mm512_loadu_si512(outputs[n] + at);
      _mm512_store_si512(chunk->values[n] + at, bits);
      largest = _mm512_max_epu16(largest, _mm512_and_si512(bits, magnitude));
    }
    const __m256i half =
        _mm256_max_epu16(_mm512_castsi512_si256(largest), _mm512_extracti64x4_epi64(largest, 1));
    _mm_store_si128(reinterpret_cast<__m128i*>(eight[n]),
                    _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
  }
  __m512i words[4];
  LoadWords(eight[0], sizeof eight[0], words);
  const __m512i two =
      _mm512_max_epu16(_mm512_max_epu16(words[0], words[1]), _mm512_max_epu16(words[2], words[3]));
  return _mm512_max_epu32(_mm512_and_si512(two, _mm512_set1_epi32(0xffff)),
                          _mm512_srli_epi32(two, 16));
}

// False if a value is not finite: the exponent's bits are all ones.
RETORT_AVX512 bool PackOutputs(const std::byte* const* outputs, int num_pairs,
                               const std::byte* next, float* scales, std::byte* pairs) {
  Bf16Chunk chunk;
  const __m512i bits = LoadChunk(outputs, &chunk);
  const __m512 largest = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
  const __m512 code_max = _mm512_set1_ps(kInt16CodeMax);
  const __mmask16 is_scaled =
      _mm512_cmp_ps_mask(largest, _mm512_set1_ps(kSmallestMagnitude), _CMP_NLT_UQ);
  _mm512_storeu_ps(scales, _mm512_maskz_div_ps(is_scaled, largest, code_max));
  const __m512 inverse = _mm512_maskz_div_ps(is_scaled, code_max, largest);
  const auto code = [=](__m512i value) RETORT_AVX512 {
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_castsi512_ps(value), inverse));
  };
  const __m512i second_of_pair = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  constexpr __mmask32 kSeconds = 0xaaaaaaaa;
  for (int pair = 0; pair < num_pairs; pair += 4) {
    __m512i words[4];
    LoadWords(chunk.values[0] + pair * 4, sizeof chunk.values[0], words);
#pragma GCC unroll 4
    for (int line = 0; line < 4; ++line, next += 64) __builtin_prefetch(next, 0, 2);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i, pairs += kPairBytes) {
      const __m512i first = code(_mm512_slli_epi32(words[i], 16));
      const __m512i second = code(_mm512_and_si512(words[i], second_of_pair));
      _mm512_store_si512(pairs,
                         _mm512_mask_blend_epi16(kSeconds, first, _mm512_slli_epi32(second, 16)));
    }
  }
  return _mm512_cmplt_epu32_mask(bits, _mm512_set1_epi32(0x7f80)) == 0xffff;
}

bool PackChunk(const std::byte* const* outputs, int num_blocks, const std::byte* next,
               std::byte* chunk) {
  auto* scales = reinterpret_cast<float*>(chunk);
  std::byte* blocks = chunk + kInt16ScaleBytes;
  const int num_pairs = num_blocks * kInt16BlockPairs;
  const std::byte* next_half = next + kOutputs * 4 * num_pairs;
  Int16Codes codes;
  const bool first = PackOutputs(outputs, num_pairs, next, scales, codes.bytes);
  const bool second = PackOutputs(outputs + kOutputs, num_pairs, next_half, scales + kOutputs,
                                  codes.bytes + kVectorBytes);
  for (int b = 0; b < num_blocks; ++b) {
    PackBlock(codes.bytes + static_cast<size_t>(b * kInt16BlockPairs) * kPairBytes,
              blocks + static_cast<size_t>(b) * kInt16BlockBytes);
  }
  return first && second;
}

}  // namespace

void AddVnniInt16(LinearKernels* kernels) {
  kernels->multiply_int16 = MultiplyInt16;
  kernels->quantize_row_int16 = QuantizeRowInt16;
  kernels->pack_int16_chunk = PackChunk;
}

}  // namespace retort::cpu

#else

namespace retort::cpu {
void AddVnniInt16(LinearKernels*) {}
}  // namespace retort::cpu

#endif
