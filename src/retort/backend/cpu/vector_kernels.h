#pragma once

#include <cstddef>
#include <cstdint>

#include "retort/backend/cpu/dispatch.h"
#include "retort/backend/device.h"

// Private to backend/cpu: the arithmetic of the operations that are no linear, compiled once per
// instruction set from the same source (*.inc) and chosen at run time. Each function works on one
// row or one tile in a fixed order that depends on nothing else, so rows get the same bits whatever
// is computed beside them. Bits differ between instruction sets.
namespace retort::cpu {

// Tokens in a block of logits: the unit of partial sums and of the search for the largest.
inline constexpr int64_t kLogitBlock = 64;

// Query rows of one attention tile: tokens times the query heads that share a key/value head.
inline constexpr int kTileRowsMax = 32;
inline constexpr int kHeadDimMax = 512;
// Keys between two merges of the online softmax's state: a fixed split of every sequence, so that
// its pieces may one day run side by side.
inline constexpr int32_t kSegmentTokens = 1024;

// One head's keys of a page are a matrix [D, kPageTokens], its values a matrix [kPageTokens, D']
// with D' = PaddedHeadDim. In bf16 and in integers two neighbouring rows are interleaved value by
// value, which is how AMX tiles and VPDPWSSD want their second operand; in f16 and f32 rows are
// plain. Behind integers come the scales of the page's tokens, f32 [kPageTokens].
constexpr int64_t PaddedHeadDim(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }
constexpr int64_t PagedIndex(bool is_paired, int64_t cols, int64_t row, int64_t col) {
  return is_paired ? ((row / 2) * cols + col) * 2 + row % 2 : row * cols + col;
}

// Heads that integers of 16 bits can stand for: with store_int16 they do where bf16 is asked for.
inline constexpr int kInt16HeadDimMax = 128;
constexpr bool IsInt16Head(int64_t head_dim) {
  return head_dim % 32 == 0 && head_dim <= kInt16HeadDimMax;
}

struct AttendTile {
  int num_rows = 0;
  const float* queries[kTileRowsMax];  // [D] each
  float* outs[kTileRowsMax];           // [D] each
  int32_t key_begin[kTileRowsMax];     // positions each row sees
  int32_t key_end[kTileRowsMax];
  // Keys and values of page p of this layer and head start at these plus p · page_bytes.
  const std::byte* keys = nullptr;
  const std::byte* values = nullptr;
  size_t page_bytes = 0;
  const int32_t* pages = nullptr;  // of the sequence, by position / kPageTokens
  // The first keys that are wanted after this tile's, or null: to be asked for in time. Values lie
  // from them as in this tile.
  const std::byte* next_keys = nullptr;
  int head_dim = 0;
  float scale = 0.0f;
  Format format = Format::kBF16;

  // Of the page that holds a position.
  const std::byte* KeysOfPage(int32_t position) const {
    return keys + static_cast<size_t>(pages[position / kPageTokens]) * page_bytes;
  }
};

struct VectorKernels {
  // out = x / √(mean(x²) + epsilon) · weight, `count` values. x may be out.
  void (*rms_norm)(const float* x, const float* weight, float epsilon, int64_t count, float* out);
  void (*gated_activation)(const float* gate, const float* up, Activation activation, int64_t count,
                           float* out);
  void (*add)(const float* x, int64_t count, float* out);  // out += x
  void (*scale)(float scale, int64_t count, float* x);     // x *= scale
  // Rotates pairs (i, i + half) or, if `interleaved`, (2i, 2i + 1), i < half. Tables: `half`
  // cosines and sines, or each twice with the first sine of a pair negated.
  void (*rotate)(const float* cosines, const float* sines, bool interleaved, int64_t half,
                 float* head);
  void (*attend)(const AttendTile& tile);

  // Largest logit of each block of kLogitBlock; false if one is NaN.
  bool (*block_maxima)(const float* logits, int64_t count, float* maxima);
  // masked = logits where the token's bit is set, −inf elsewhere, and its blocks' maxima. Blocks
  // without a bit are not written; their maximum is −inf.
  void (*mask)(const float* logits, const uint32_t* allowed, int64_t count, float* masked,
               float* maxima);
  // weights = exp((logits − largest) / temperature), those below weight_min set to 0.
  void (*weights)(const float* logits, int64_t count, float largest, float temperature,
                  float weight_min, float* weights);
  // The sums of such weights, block by block.
  void (*block_sums)(const float* logits, int64_t count, float largest, float temperature,
                     float weight_min, double* sums);

  // Writes one token's key and value [D] of one head to its place in a page's matrices of bf16, D a
  // multiple of 32. Null where CpuKvCache does it value by value.
  void (*store_paired)(const float* key, const float* value, int head_dim, int token,
                       uint16_t* keys, uint16_t* values) = nullptr;
  // The same as integers: 8 bits, null as above; 16 bits, for an IsInt16Head, null where such heads
  // are kept in bf16.
  void (*store_int8)(const float* key, const float* value, int head_dim, int token, std::byte* keys,
                     std::byte* values) = nullptr;
  void (*store_int16)(const float* key, const float* value, int head_dim, int token,
                      std::byte* keys, std::byte* values) = nullptr;
};

const VectorKernels& KernelsOf(DispatchLevel level);

namespace scalar {
extern const VectorKernels kKernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const VectorKernels kKernels;
}
namespace avx512 {
extern const VectorKernels kKernels;
}
namespace vnni {
const VectorKernels& Kernels();  // attention_vnni.cc; the rest is avx512's
}
namespace amx {
const VectorKernels& Kernels();  // attention_amx.cc; the rest is avx512's
}
#endif

}  // namespace retort::cpu
