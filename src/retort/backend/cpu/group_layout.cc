#include "retort/backend/cpu/group_layout.h"

#include <array>
#include <cstring>

#include "retort/base/error.h"
#include "retort/tensor/float_bits.h"

namespace retort::cpu {
namespace {

// The formats that are packed as grouped integers. Source layouts: tensor/codec_*.cc.
constexpr std::array<GroupLayout, 8> kLayouts = {{
    // format, bits, zero, scales, source block bytes, groups per record
    {Format::kQ4_0, 4, 8, ScaleKind::kHalf, 18, 1},
    {Format::kQ4_1, 4, 0, ScaleKind::kHalfMin, 20, 1},
    {Format::kQ5_0, 5, 16, ScaleKind::kHalf, 22, 1},
    {Format::kQ5_1, 5, 0, ScaleKind::kHalfMin, 24, 1},
    {Format::kQ8_0, 8, 128, ScaleKind::kHalf, 34, 1},
    {Format::kQ4_K, 4, 0, ScaleKind::kSuperMin, 144, 8},
    {Format::kQ5_K, 5, 0, ScaleKind::kSuperMin, 176, 8},
    {Format::kQ6_K, 6, 32, ScaleKind::kSuper16, 210, 8},
}};

// One group of one output, as its block says.
struct SourceGroup {
  uint8_t codes[kGroupValues];
  uint16_t scale = 0;  // f16: of the group, or the d of the super-block
  uint16_t min = 0;    // f16: of the group, or the dmin of the super-block
  uint8_t scale_code[2] = {0, 0};
  uint8_t min_code = 0;
};

int Byte(const std::byte* bytes, size_t i) { return LoadAs<uint8_t>(bytes + i); }

// 16 bytes of nibbles: value j in the low half of byte j, value j + 16 in the high half.
void ReadNibbles(const std::byte* bytes, uint8_t* codes) {
  for (size_t j = 0; j < 16; ++j) {
    codes[j] = static_cast<uint8_t>(Byte(bytes, j) & 15);
    codes[j + 16] = static_cast<uint8_t>(Byte(bytes, j) >> 4);
  }
}

void AddFifthBits(uint32_t bits, uint8_t* codes) {
  for (int j = 0; j < 32; ++j) codes[j] |= static_cast<uint8_t>(((bits >> j) & 1) << 4);
}

void ReadKScales(const std::byte* packed, size_t j, SourceGroup* group) {
  if (j < 4) {
    group->scale_code[0] = static_cast<uint8_t>(Byte(packed, j) & 63);
    group->min_code = static_cast<uint8_t>(Byte(packed, j + 4) & 63);
    return;
  }
  const int nibbles = Byte(packed, j + 4);
  group->scale_code[0] = static_cast<uint8_t>((nibbles & 15) | (Byte(packed, j - 4) >> 6) << 4);
  group->min_code = static_cast<uint8_t>((nibbles >> 4) | (Byte(packed, j) >> 6) << 4);
}

// Q4_K and Q5_K: `high_bits` is null for Q4_K.
void ReadKGroup(const std::byte* block, const std::byte* high_bits, const std::byte* nibbles,
                size_t index, SourceGroup* group) {
  group->scale = LoadAs<uint16_t>(block);
  group->min = LoadAs<uint16_t>(block + 2);
  ReadKScales(block + 4, index, group);
  for (size_t j = 0; j < 32; ++j) {
    int code = (Byte(nibbles, 32 * (index / 2) + j) >> (4 * (index % 2))) & 15;
    if (high_bits != nullptr) code |= ((Byte(high_bits, j) >> index) & 1) << 4;
    group->codes[j] = static_cast<uint8_t>(code);
  }
}

void ReadQ6Group(const std::byte* block, size_t index, SourceGroup* group) {
  group->scale = LoadAs<uint16_t>(block + 208);
  group->scale_code[0] = LoadAs<uint8_t>(block + 192 + 2 * index);
  group->scale_code[1] = LoadAs<uint8_t>(block + 193 + 2 * index);
  const size_t half = index / 4;
  const size_t run = index % 4;
  const std::byte* low_bits = block + 64 * half + 32 * (run % 2);
  const std::byte* high_bits = block + 128 + 32 * half;
  for (size_t j = 0; j < 32; ++j) {
    const int low = (Byte(low_bits, j) >> (4 * (run / 2))) & 15;
    const int high = (Byte(high_bits, j) >> (2 * run)) & 3;
    group->codes[j] = static_cast<uint8_t>(low | high << 4);
  }
}

void ReadGroup(const GroupLayout& layout, const std::byte* row, int64_t index, SourceGroup* group) {
  const int64_t groups_per_block = layout.groups_per_record;  // records are the source's blocks
  const std::byte* block = row + index / groups_per_block * layout.block_bytes;
  const auto within = static_cast<size_t>(index % groups_per_block);
  switch (layout.format) {
    case Format::kQ4_0:
      group->scale = LoadAs<uint16_t>(block);
      return ReadNibbles(block + 2, group->codes);
    case Format::kQ4_1:
      group->scale = LoadAs<uint16_t>(block);
      group->min = LoadAs<uint16_t>(block + 2);
      return ReadNibbles(block + 4, group->codes);
    case Format::kQ5_0:
      group->scale = LoadAs<uint16_t>(block);
      ReadNibbles(block + 6, group->codes);
      return AddFifthBits(LoadAs<uint32_t>(block + 2), group->codes);
    case Format::kQ5_1:
      group->scale = LoadAs<uint16_t>(block);
      group->min = LoadAs<uint16_t>(block + 2);
      ReadNibbles(block + 8, group->codes);
      return AddFifthBits(LoadAs<uint32_t>(block + 4), group->codes);
    case Format::kQ8_0:
      group->scale = LoadAs<uint16_t>(block);
      for (size_t j = 0; j < 32; ++j) {
        group->codes[j] = static_cast<uint8_t>(Byte(block, 2 + j) ^ 0x80);
      }
      return;
    case Format::kQ4_K:
      return ReadKGroup(block, nullptr, block + 16, within, group);
    case Format::kQ5_K:
      return ReadKGroup(block, block + 16, block + 48, within, group);
    case Format::kQ6_K:
      return ReadQ6Group(block, within, group);
    default:
      Throw(ErrorCode::kInternal, "{} has no group layout", Info(layout.format).name);
  }
}

void StoreScales(const GroupLayout& layout, const SourceGroup& group, size_t output,
                 bool first_of_record, std::byte* record, std::byte* header) {
  switch (layout.scales) {
    case ScaleKind::kHalfMin:
      StoreAs<uint16_t>(header + 64 + 2 * output, group.min);
      [[fallthrough]];
    case ScaleKind::kHalf:
      StoreAs<uint16_t>(header + 2 * output, group.scale);
      return;
    case ScaleKind::kSuperMin:
      if (first_of_record) {
        StoreAs<uint16_t>(record + 2 * output, group.scale);
        StoreAs<uint16_t>(record + 64 + 2 * output, group.min);
      }
      StoreAs<uint8_t>(header + output, group.scale_code[0]);
      StoreAs<uint8_t>(header + 32 + output, group.min_code);
      return;
    case ScaleKind::kSuper16:
      if (first_of_record) StoreAs<uint16_t>(record + 2 * output, group.scale);
      StoreAs<uint8_t>(header + output, group.scale_code[0]);
      StoreAs<uint8_t>(header + 32 + output, group.scale_code[1]);
      return;
  }
}

}  // namespace

const GroupLayout* FindGroupLayout(Format format) {
  for (const GroupLayout& layout : kLayouts) {
    if (layout.format == format) return &layout;
  }
  return nullptr;
}

void PackPlanes(int bits, const uint8_t* codes, std::byte* planes) {
  if (bits == 8) {
    std::memcpy(planes, codes, kGroupCodes);
    return;
  }
  for (size_t half = 0; half < 2; ++half) {
    for (size_t quad = 0; quad < 4; ++quad) {
      const uint8_t* low = codes + half * 512 + quad * 64;
      std::byte* to = planes + half * 256 + quad * 64;
      for (size_t i = 0; i < 64; ++i) {
        StoreAs<uint8_t>(to + i, static_cast<uint8_t>((low[i] & 15) | (low[i + 4 * 64] & 15) << 4));
      }
    }
  }
  std::byte* high = planes + 512;
  if (bits == 5) {
    for (size_t vector = 0; vector < 16; ++vector) {
      uint64_t mask = 0;
      for (size_t i = 0; i < 64; ++i) {
        mask |= static_cast<uint64_t>((codes[vector * 64 + i] >> 4) & 1) << i;
      }
      StoreAs<uint64_t>(high + vector * 8, mask);
    }
  } else if (bits == 6) {
    for (size_t vector = 0; vector < 4; ++vector) {
      const uint8_t* from = codes + vector * 256;
      for (size_t i = 0; i < 64; ++i) {
        StoreAs<uint8_t>(
            high + vector * 64 + i,
            static_cast<uint8_t>((from[i] >> 4) | (from[64 + i] >> 4) << 2 |
                                 (from[128 + i] >> 4) << 4 | (from[192 + i] >> 4) << 6));
      }
    }
  }
}

void PackRecord(const GroupLayout& layout, std::span<const std::byte* const> rows, int64_t record,
                std::byte* out) {
  std::memset(out, 0, layout.record_header_bytes());
  std::array<uint8_t, kGroupCodes> codes;
  for (int g = 0; g < layout.groups_per_record; ++g) {
    std::byte* header =
        out + layout.record_header_bytes() + static_cast<size_t>(g) * layout.group_bytes();
    std::memset(header, 0, layout.group_header_bytes());
    if (rows.size() < kPanelOutputs) codes.fill(static_cast<uint8_t>(layout.zero));
    for (size_t output = 0; output < rows.size(); ++output) {
      SourceGroup group;
      ReadGroup(layout, rows[output], record * layout.groups_per_record + g, &group);
      StoreScales(layout, group, output, g == 0, out, header);
      uint8_t* lane = codes.data() + output / 16 * 512 + output % 16 * 4;
      for (size_t quad = 0; quad < 8; ++quad) {
        std::memcpy(lane + quad * 64, group.codes + quad * 4, 4);
      }
    }
    PackPlanes(layout.bits, codes.data(), header + layout.group_header_bytes());
  }
}

}  // namespace retort::cpu
