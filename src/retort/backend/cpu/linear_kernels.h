#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "retort/backend/cpu/code_limits.h"
#include "retort/backend/cpu/dispatch.h"
#include "retort/backend/cpu/group_layout.h"
#include "retort/backend/cpu/prefetch.h"

// Private to backend/cpu: the inner loops of a linear, one set per dispatch level.
//
// Every kernel adds the products of a range of inputs, for one panel of kPanelOutputs outputs, to
// f32 sums [row][kPanelOutputs], whose rows are there up to a multiple of kBlockRows. The order in
// which a row's sum is made depends on the inputs only: not on the number of rows, nor on where a
// range was cut at a multiple of its unit. That is what makes a row's result the same bits in every
// batch.
namespace retort::cpu {

// Rows are packed in blocks, so that a block's part of a group is contiguous: a tile for AMX, short
// strides for everyone.
inline constexpr int kBlockRows = 16;
// Inputs of one bf16 unit: a tile's row of 32 values.
inline constexpr int kBf16UnitValues = 32;
// Where an input's value is among a unit's in a row: a pair, which a product adds in one go, is
// every second input of a quad, as nibbles and bytes come out of a quad's 32 bits.
constexpr int64_t PlaceInUnit(int64_t k) { return (k & ~int64_t{3}) | (k & 1) << 1 | (k >> 1 & 1); }
// Rows that a panel is multiplied with while it is decoded, and units that have room meanwhile.
inline constexpr int64_t kFusedRowsMax = 2 * kBlockRows;
inline constexpr int kFusedUnits = 4;
// Inputs after which an f32 sum is put aside and a new one begun, so that rounding grows with K /
// 128 instead of K.
inline constexpr int kF32ChunkValues = 128;
// Inputs of a chunk of 16-bit integers, which share a scale in each row and each output: as many as
// kInt16CodeMax leaves room for.
inline constexpr int kInt16ChunkValues = 128;
inline constexpr size_t kInt16ScaleBytes = kPanelOutputs * sizeof(float);
// A block of a chunk: the codes of 8 pairs of inputs, two vectors a pair, take kInt16CodeBits each.
inline constexpr int kInt16BlockPairs = 8;
inline constexpr int kInt16CodeBits = 13;
inline constexpr size_t kInt16BlockBytes = size_t{kInt16CodeBits} * 64;
constexpr int64_t Int16Blocks(int64_t num_inputs) {
  return (num_inputs + 2 * kInt16BlockPairs - 1) / (2 * kInt16BlockPairs);
}
inline constexpr size_t kInt16ChunkBytes =
    kInt16ScaleBytes + Int16Blocks(kInt16ChunkValues) * kInt16BlockBytes;
// Groups of a panel that are unpacked at a time: their codes and scales stay in the L1 cache.
inline constexpr int kGroupsPerChunk = 16;

// Consecutive groups of one panel, ready to multiply.
struct GroupTile {
  const uint8_t* codes = nullptr;  // a group's codes [2][8][16][4], group_stride bytes apart
  size_t group_stride = 0;
  const float* scales = nullptr;  // [num_groups · (1 or 2)][32]
  const float* mins = nullptr;    // the same, or null
  int num_groups = 0;
  int scale_values = 0;    // 32 or 16
  int bits = 0;            // codes are below 2^bits
  bool is_signed = false;  // codes are code − zero as int8, and corrections are not used
  std::span<const std::byte> ahead = {};  // what is stored next: to be asked for meanwhile
};

// A block of rows quantised to 8 bits in groups of 32, from the first group of a range on.
struct QuantizedRows {
  const int8_t* codes = nullptr;  // [group][16][32]
  const float* scales = nullptr;  // [group][16]
  // Per scale of the weight (group of 32, or of 16): what unsigned codes count too much,
  // −zero · Σ codes; or, for weights with a minimum, f32 scale · Σ codes.
  const int32_t* corrections = nullptr;
  const float* sums = nullptr;
};

// Rows quantised to 16 bits in chunks, in blocks of kBlockRows rows: block b's data begin b ·
// *_stride elements further.
struct Int16Rows {
  const int16_t* codes = nullptr;  // [chunk][16][kInt16ChunkValues]
  size_t codes_stride = 0;
  const float* scales = nullptr;  // [chunk][16]
  size_t scales_stride = 0;
};

struct UnpackScratch {
  alignas(64) uint8_t codes[kGroupsPerChunk * kGroupCodes];
  alignas(64) float scales[kGroupsPerChunk * 2 * kPanelOutputs];
  alignas(64) float mins[kGroupsPerChunk * 2 * kPanelOutputs];
};

struct LinearKernels {
  // Around a thread's work on one part, if not null: the matrix unit's set-up for blocks of at most
  // `num_rows` rows.
  void (*begin)(int64_t num_rows) = nullptr;
  void (*end)() = nullptr;

  // Groups [group_begin, group_begin + num_groups) of a panel: num_groups <= kGroupsPerChunk.
  void (*unpack)(const GroupLayout& layout, const std::byte* panel, int64_t group_begin,
                 int num_groups, bool is_signed, UnpackScratch* scratch, GroupTile* tile);
  // Whether a tile for this many rows should be signed.
  bool (*wants_signed)(int64_t num_rows, int scale_values);
  // sums[r][n] += Σ_groups row_scale · scale[n] · f32(Σ codes · codes) (+ min[n] · row_sum), groups
  // ascending, the integers exact, each product and sum of the fold fused as written in the scalar
  // kernel; for at most kBlockRows rows.
  void (*multiply_groups)(const GroupTile& tile, const QuantizedRows& rows, int64_t num_rows,
                          float* sums);

  // unpack and multiply_groups of a whole panel in one, with their bits. Null where there is none.
  void (*multiply_packed)(const GroupLayout& layout, const std::byte* panel, int64_t num_groups,
                          const QuantizedRows& rows, int64_t num_rows, float* sums) = nullptr;

  // sums[r][n] += Σ_k x[r][k] · w[k][n], k ascending from a zero sum, k < kF32ChunkValues.
  void (*multiply_f32)(const float* w, int num_inputs, const float* x, int64_t x_stride,
                       int64_t num_rows, float* sums);
  // decode and multiply_f32 of a whole panel in one, with their bits, for at most kBlockRows rows
  // and whole units of inputs. Null where there is none.
  void (*multiply_dense)(Encoding encoding, const std::byte* panel, int64_t num_inputs,
                         const float* x, int64_t x_stride, int64_t num_rows, float* sums) = nullptr;
  // To [k][32] f32: f16 [k][32]; bf16 units [2][16 pairs][16][2], pairs as PlaceInUnit says;
  // unsigned groups.
  void (*decode_f16)(const uint16_t* values, int num_inputs, float* out);
  void (*decode_bf16)(const uint16_t* units, int num_units, float* out);
  void (*decode_groups)(const GroupTile& tile, int zero, float* out);

  // Groups · 2^-exponent as bf16 units [2][16 pairs][16][2] of a part's weights (see
  // PackedPart::exponent). With `groups_as_bf16` kNative multiplies grouped integers so, by
  // multiply_bf16; without, as 8-bit groups.
  void (*decode_groups_bf16)(const GroupLayout& layout, const std::byte* panel, int exponent,
                             int64_t group_begin, int num_groups, UnpackScratch* scratch,
                             uint16_t* units) = nullptr;
  bool groups_as_bf16 = false;
  // decode_groups_bf16 and multiply_bf16 (without `add`) of a whole panel in one, for at most
  // kFusedRowsMax rows: products of one group are under way while others are decoded. `units`: room
  // for kFusedUnits. Null where there is none.
  void (*multiply_decoded)(const GroupLayout& layout, const std::byte* panel, int exponent,
                           int64_t num_groups, const uint16_t* rows, size_t block_stride,
                           int64_t num_rows, UnpackScratch* scratch, uint16_t* units,
                           float* sums) = nullptr;

  // Rows of bf16, [unit][16][32] in blocks block_stride values apart; the panel's units
  // [2][16 pairs][16][2]. Without `add` sums begin at zero, whatever they were. Null where bf16
  // products are made in f32.
  void (*multiply_bf16)(const uint16_t* units, int64_t num_units, const uint16_t* rows,
                        size_t block_stride, int64_t num_rows, bool add, float* sums);

  // sums[r][n] += Σ_chunks row_scale · scale[n] · f32(Σ codes · codes), chunks ascending, over a
  // panel of Encoding::kInt16. Null where bf16 weights are kept as they are.
  void (*multiply_int16)(const std::byte* panel, int64_t num_inputs, const Int16Rows& rows,
                         int64_t num_rows, float* sums) = nullptr;
  // One row to 16 bits in chunks: scale = max|x| / kInt16CodeMax, codes to nearest even, zero
  // beyond num_inputs. Chunks are kBlockRows · kInt16ChunkValues codes and kBlockRows scales apart.
  void (*quantize_row_int16)(const float* x, int64_t num_inputs, int16_t* codes,
                             float* scales) = nullptr;
  // Packs the first num_blocks blocks of a chunk of kInt16ChunkValues inputs in bf16 of each of 32
  // outputs, likewise. Asks for as many bytes from `next` on meanwhile. False if one is not finite.
  bool (*pack_int16_chunk)(const std::byte* const* outputs, int num_blocks, const std::byte* next,
                           std::byte* chunk) = nullptr;

  // out[n] = sums[n] + bias[n], or added to out: `count` outputs of one row; bias may be null.
  void (*write_out)(const float* sums, const float* bias, bool accumulate, int count, float* out);

  // One row of `num_groups` groups of 32 to int8: scale = max|x| / 127, codes to nearest even, and
  // the sum of each 16 codes. codes [group][16 rows][32]: groups are 512 bytes apart, scales 16
  // floats, sums 32 (two runs of 16 rows).
  void (*quantize_row)(const float* x, int64_t num_groups, int8_t* codes, float* scales,
                       int32_t* sums);
  // One row to bf16, nearest even: `num_inputs` values, zero up to whole units, each in its
  // PlaceInUnit. Units are `stride` values apart.
  void (*round_row)(const float* x, int64_t num_inputs, size_t stride, uint16_t* out);
};

// The kernels of a level this machine has.
const LinearKernels& KernelsFor(DispatchLevel level);

// One per level (kernels_<level>.cc if nothing else is said); each begins with the set below it.
LinearKernels ScalarKernels();
LinearKernels Avx2Kernels(const LinearKernels& lower);
LinearKernels Avx512Kernels(const LinearKernels& lower);
void AddAvx512Unpacking(LinearKernels* kernels);  // unpack_avx512.cc
void AddAvx512Dense(LinearKernels* kernels);      // dense_avx512.cc
LinearKernels VnniKernels(const LinearKernels& lower);
LinearKernels VnniBf16Kernels(const LinearKernels& lower);  // kernels_vnni.cc
void AddVnniPacked(LinearKernels* kernels);                 // packed_vnni.cc
void AddVnniInt16(LinearKernels* kernels);                  // int16_vnni.cc
LinearKernels AmxKernels(const LinearKernels& lower);

}  // namespace retort::cpu
