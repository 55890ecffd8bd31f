#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "retort/tensor/tensor_view.h"

// Private to backend/cpu: how weights, grouped integers above all, lie in memory once packed.
//
// A panel holds kPanelOutputs outputs (rows of W) and all K inputs, in the order the kernels walk:
// one record after the other along K. The 32 inputs of a group are 8 quads of 4; a vector of 64
// bytes holds one quad of 16 outputs (output lane · 4 + input), which is what VPDPBUSD multiplies
// and what a row of an AMX tile is. Unpacked, a group is codes [half 2][quad 8][lane 16][4], one
// unsigned byte per weight. Stored, the codes are split into bit planes so that they take no more
// than their bits:
//   4 bits    [half][quad 0..3][64]: the low nibble is quad q's, the high one quad q + 4's
//   5th bit   [half][quad 0..7][8]: bit i of the 64 belongs to byte i
//   bits 5, 6 [half][2][64]: bits 2i, 2i + 1 of vector j are quad 4j + i's
//   8 bits    the codes as they are
//
// weight = scale · (code − zero) + min, scale and min per output and group.
namespace retort::cpu {

inline constexpr int kPanelOutputs = 32;
inline constexpr int kGroupValues = 32;
inline constexpr size_t kGroupCodes = size_t{kPanelOutputs} * kGroupValues;  // bytes, unpacked

// How a panel's weights lie.
enum class Encoding : uint8_t {
  kF32,     // [k][32]
  kF16,     // [k][32]
  kBf16,    // units of 32 inputs: [half 2][pair 16][lane 16][2] (PlaceInUnit), zero beyond K
  kInt16,   // chunks of 128 inputs, the last one of what is left: f32 scale [32], codes of 13 bits
            // in blocks of 16 inputs (int16_vnni.cc), zero beyond K
  kGroups,  // GroupLayout
};

enum class ScaleKind : uint8_t {
  kHalf,      // per group: f16 scale [32]
  kHalfMin,   // per group: f16 scale [32], f16 min [32]
  kSuperMin,  // per 8 groups: f16 d [32], f16 dmin [32]; per group: u8 scale [32], u8 min [32]
              // scale = d · u8, min = −dmin · u8
  kSuper16,   // per 8 groups: f16 d [32]; per group: s8 scale [2][32], one per 16 inputs
};

struct GroupLayout {
  Format format;  // of the source
  uint8_t bits;   // per code: 4, 5, 6 or 8
  int zero;       // the code that stands for 0; not 0 only if there is no min
  ScaleKind scales;
  int block_bytes;  // of the source's block
  int groups_per_record;

  constexpr bool has_min() const {
    return scales == ScaleKind::kHalfMin || scales == ScaleKind::kSuperMin;
  }
  // Inputs that share a scale.
  int scale_values() const { return scales == ScaleKind::kSuper16 ? 16 : 32; }
  constexpr size_t record_header_bytes() const {
    if (scales == ScaleKind::kSuperMin) return 128;
    return scales == ScaleKind::kSuper16 ? 64 : 0;
  }
  constexpr size_t group_header_bytes() const { return scales == ScaleKind::kHalfMin ? 128 : 64; }
  constexpr size_t plane_bytes() const { return kGroupCodes * bits / 8; }
  constexpr size_t group_bytes() const { return group_header_bytes() + plane_bytes(); }
  constexpr size_t record_bytes() const {
    return record_header_bytes() + static_cast<size_t>(groups_per_record) * group_bytes();
  }
};

// The layout for a storage format; nullptr if it is not packed as grouped integers.
const GroupLayout* FindGroupLayout(Format format);

// Packs one record of a panel: the groups [record · groups_per_record, ...) of the rows, whose
// stored bytes `rows` points at, at most kPanelOutputs of them (what is missing is zero). `out` has
// record_bytes(). `layout` is one that FindGroupLayout gave. False if a scale is not finite.
bool PackRecord(const GroupLayout& layout, std::span<const std::byte* const> rows, int64_t record,
                std::byte* out);

// A bound on the magnitude of the weights of `num_records` packed records.
float LargestWeight(const GroupLayout& layout, const std::byte* records, int64_t num_records);

}  // namespace retort::cpu
