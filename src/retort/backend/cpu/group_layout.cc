#include "retort/backend/cpu/group_layout.h"

#include <array>
#include <cstring>
#include <utility>

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

// One group of one output, as its block says. `codes` are words of 4 inputs where they are packed.
struct SourceGroup {
  alignas(uint32_t) uint8_t codes[kGroupValues];
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

// Group `within` of a block.
template <Format kFormat>
void ReadGroup(const std::byte* block, size_t within, SourceGroup* group) {
  if constexpr (kFormat == Format::kQ6_K) {
    ReadQ6Group(block, within, group);
  } else if constexpr (kFormat == Format::kQ5_K) {
    ReadKGroup(block, block + 16, block + 48, within, group);
  } else if constexpr (kFormat == Format::kQ4_K) {
    ReadKGroup(block, nullptr, block + 16, within, group);
  } else if constexpr (kFormat == Format::kQ8_0) {
    group->scale = LoadAs<uint16_t>(block);
    for (size_t j = 0; j < 32; ++j) {
      group->codes[j] = static_cast<uint8_t>(Byte(block, 2 + j) ^ 0x80);
    }
  } else {  // Q4_0, Q4_1, Q5_0, Q5_1: scale, min, fifth bits, nibbles, where there are
    constexpr bool kHasMin = kFormat == Format::kQ4_1 || kFormat == Format::kQ5_1;
    constexpr bool kHasFifth = kFormat == Format::kQ5_0 || kFormat == Format::kQ5_1;
    constexpr size_t kFifthAt = kHasMin ? 4 : 2;
    group->scale = LoadAs<uint16_t>(block);
    if constexpr (kHasMin) group->min = LoadAs<uint16_t>(block + 2);
    ReadNibbles(block + kFifthAt + (kHasFifth ? 4 : 0), group->codes);
    if constexpr (kHasFifth) AddFifthBits(LoadAs<uint32_t>(block + kFifthAt), group->codes);
  }
}

void StoreScales(ScaleKind kind, const SourceGroup& group, size_t output, bool first_of_record,
                 std::byte* record, std::byte* header) {
  switch (kind) {
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

// Stores an output's codes, four inputs (a quad) at a time, where its lane is in each plane.
template <int kBits>
void StoreCodes(const uint8_t* codes, size_t output, std::byte* planes) {
  const size_t half = output / 16;
  const size_t lane = output % 16;
  std::array<uint32_t, 8> quads;
  std::memcpy(quads.data(), codes, kGroupValues);
  if constexpr (kBits == 8) {
    for (size_t q = 0; q < 8; ++q) {
      StoreAs<uint32_t>(planes + half * 512 + q * 64 + lane * 4, quads[q]);
    }
    return;
  }
  constexpr uint32_t kLow = 0x0f0f0f0f;
  for (size_t q = 0; q < 4; ++q) {
    StoreAs<uint32_t>(planes + half * 256 + q * 64 + lane * 4,
                      (quads[q] & kLow) | (quads[q + 4] & kLow) << 4);
  }
  std::byte* high = planes + 512;
  if constexpr (kBits == 5) {
    constexpr uint32_t kGatherBits = 0x01020408;  // bits 0, 8, 16, 24 to bits 24 to 27
    for (size_t q = 0; q < 8; ++q) {
      const uint32_t nibble = (((quads[q] >> 4) & 0x01010101) * kGatherBits >> 24) & 15;
      std::byte* to = high + half * 64 + q * 8 + lane / 2;
      const auto below = lane % 2 == 0 ? std::byte{0} : *to;
      *to = below | static_cast<std::byte>(nibble << (4 * (lane % 2)));
    }
  } else if constexpr (kBits == 6) {
    for (size_t j = 0; j < 2; ++j) {
      uint32_t word = 0;
      for (size_t i = 0; i < 4; ++i) word |= ((quads[4 * j + i] >> 4) & 0x03030303) << (2 * i);
      StoreAs<uint32_t>(high + half * 128 + j * 64 + lane * 4, word);
    }
  }
}

bool IsFiniteHalf(uint16_t half) { return (half & 0x7c00) != 0x7c00; }

template <size_t kLayout>
bool PackRecordOf(std::span<const std::byte* const> rows, int64_t record, std::byte* out) {
  constexpr GroupLayout kThis = kLayouts[kLayout];
  SourceGroup missing;
  std::memset(missing.codes, kThis.zero, sizeof missing.codes);
  bool finite = true;
  for (int g = 0; g < kThis.groups_per_record; ++g) {
    std::byte* header =
        out + kThis.record_header_bytes() + static_cast<size_t>(g) * kThis.group_bytes();
    for (size_t output = 0; output < kPanelOutputs; ++output) {
      SourceGroup group;
      if (output < rows.size()) {  // records are the source's blocks
        ReadGroup<kThis.format>(rows[output] + record * kThis.block_bytes, static_cast<size_t>(g),
                                &group);
        finite = finite && IsFiniteHalf(group.scale) && IsFiniteHalf(group.min);
      } else {
        group = missing;
      }
      StoreScales(kThis.scales, group, output, g == 0, out, header);
      StoreCodes<kThis.bits>(group.codes, output, header + kThis.group_header_bytes());
    }
  }
  return finite;
}

using PackFunction = bool (*)(std::span<const std::byte* const>, int64_t, std::byte*);

template <size_t... kIndices>
constexpr std::array<PackFunction, sizeof...(kIndices)> PackFunctions(
    std::index_sequence<kIndices...>) {
  return {PackRecordOf<kIndices>...};
}

}  // namespace

const GroupLayout* FindGroupLayout(Format format) {
  for (const GroupLayout& layout : kLayouts) {
    if (layout.format == format) return &layout;
  }
  return nullptr;
}

bool PackRecord(const GroupLayout& layout, std::span<const std::byte* const> rows, int64_t record,
                std::byte* out) {
  static constexpr auto kPack = PackFunctions(std::make_index_sequence<kLayouts.size()>());
  return kPack[static_cast<size_t>(&layout - kLayouts.data())](rows, record, out);
}

}  // namespace retort::cpu
