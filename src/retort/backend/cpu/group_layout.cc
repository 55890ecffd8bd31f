#include "retort/backend/cpu/group_layout.h"

#include <algorithm>
#include <array>
#include <utility>

#include "retort/backend/cpu/transpose_words.h"
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

constexpr uint64_t EachByte(uint8_t value) { return 0x0101010101010101u * value; }

// Byte i is bit i of `bits`.
uint64_t BytesFromBits(uint8_t bits) {
  constexpr uint64_t kBitOfEachByte = 0x8040201008040201u;
  return ((EachByte(bits) & kBitOfEachByte) + EachByte(0x7f)) >> 7 & EachByte(1);
}

// Bit i is byte i of `bytes`, each 0 or 1.
uint8_t BitsFromBytes(uint64_t bytes) {
  return static_cast<uint8_t>((bytes * 0x0102040810204080u) >> 56);
}

// `count` bits of each byte, from bit `first` on.
Bytes16 BitsOfBytes(Bytes16 bytes, size_t first, int count) {
  const uint64_t mask = EachByte(static_cast<uint8_t>((1 << count) - 1));
  return reinterpret_cast<Bytes16>((reinterpret_cast<Longs2>(bytes) >> first) & mask);
}

// Each byte · 2^count, of bytes that do not reach their upper bits.
Bytes16 UpInBytes(Bytes16 bytes, size_t count) {
  return reinterpret_cast<Bytes16>(reinterpret_cast<Longs2>(bytes) << count);
}

// One group of one output, as its block says.
struct SourceGroup {
  std::array<Bytes16, kGroupValues / 16> codes;
  uint16_t scale;         // f16: of the group, or the d of the super-block
  uint16_t min;           // f16: of the group, or the dmin of the super-block; where there are
  uint8_t scale_code[2];  // of super-blocks
  uint8_t min_code;
};

int Byte(const std::byte* bytes, size_t i) { return LoadAs<uint8_t>(bytes + i); }

// 16 bytes of nibbles: value j in the low half of byte j, value j + 16 in the high half.
void ReadNibbles(const std::byte* bytes, SourceGroup* group) {
  const Bytes16 both = LoadBytes16(bytes);
  group->codes = {BitsOfBytes(both, 0, 4), BitsOfBytes(both, 4, 4)};
}

void AddFifthBits(const std::byte* bits, SourceGroup* group) {
  for (size_t i = 0; i < 2; ++i) {
    const Longs2 ones = {BytesFromBits(LoadAs<uint8_t>(bits + 2 * i)),
                         BytesFromBits(LoadAs<uint8_t>(bits + 2 * i + 1))};
    group->codes[i] |= reinterpret_cast<Bytes16>(ones << 4);
  }
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
  for (size_t i = 0; i < 2; ++i) {
    const Bytes16 both = LoadBytes16(nibbles + 32 * (index / 2) + 16 * i);
    group->codes[i] = BitsOfBytes(both, 4 * (index % 2), 4);
    if (high_bits == nullptr) continue;
    group->codes[i] |= UpInBytes(BitsOfBytes(LoadBytes16(high_bits + 16 * i), index, 1), 4);
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
  for (size_t i = 0; i < 2; ++i) {
    group->codes[i] = BitsOfBytes(LoadBytes16(low_bits + 16 * i), 4 * (run / 2), 4) |
                      UpInBytes(BitsOfBytes(LoadBytes16(high_bits + 16 * i), 2 * run, 2), 4);
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
    for (size_t i = 0; i < 2; ++i) group->codes[i] = LoadBytes16(block + 2 + 16 * i) ^ 0x80;
  } else {  // Q4_0, Q4_1, Q5_0, Q5_1: scale, min, fifth bits, nibbles, where there are
    constexpr bool kHasMin = kFormat == Format::kQ4_1 || kFormat == Format::kQ5_1;
    constexpr bool kHasFifth = kFormat == Format::kQ5_0 || kFormat == Format::kQ5_1;
    constexpr size_t kFifthAt = kHasMin ? 4 : 2;
    group->scale = LoadAs<uint16_t>(block);
    if constexpr (kHasMin) group->min = LoadAs<uint16_t>(block + 2);
    ReadNibbles(block + kFifthAt + (kHasFifth ? 4 : 0), group);
    if constexpr (kHasFifth) AddFifthBits(block + kFifthAt, group);
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

// Outputs that are packed together.
constexpr size_t kOutputsAtATime = 4;
using SourceGroups = std::array<SourceGroup, kOutputsAtATime>;

// Stores the codes of outputs [output, output + 4) where their lanes are in each plane.
template <int kBits>
[[gnu::always_inline]] inline void StoreCodes(const SourceGroups& groups, size_t output,
                                              std::byte* planes) {
  constexpr size_t kQuads = kGroupValues / 4;
  const size_t half = output / 16;
  const size_t lane = output % 16;
  Bytes16 quads[kQuads];  // each of all four outputs
#pragma GCC unroll 8
  for (size_t i = 0; i < 2; ++i) {
    const auto words = TransposeWords(
        {groups[0].codes[i], groups[1].codes[i], groups[2].codes[i], groups[3].codes[i]});
#pragma GCC unroll 8
    for (size_t q = 0; q < 4; ++q) quads[4 * i + q] = reinterpret_cast<Bytes16>(words[q]);
  }
  if constexpr (kBits == 8) {
    std::byte* to = planes + half * 512 + lane * 4;
#pragma GCC unroll 8
    for (size_t q = 0; q < kQuads; ++q) StoreVector(to + q * 64, quads[q]);
    return;
  }
  std::byte* low = planes + half * 256 + lane * 4;
#pragma GCC unroll 8
  for (size_t q = 0; q < 4; ++q) {
    StoreVector(low + q * 64,
                BitsOfBytes(quads[q], 0, 4) | UpInBytes(BitsOfBytes(quads[q + 4], 0, 4), 4));
  }
  std::byte* high = planes + 512;
  if constexpr (kBits == 5) {
#pragma GCC unroll 8
    for (size_t q = 0; q < kQuads; ++q) {
      const auto ones = reinterpret_cast<Longs2>(BitsOfBytes(quads[q], 4, 1));
      std::byte* to = high + half * 64 + q * 8 + lane / 2;
      StoreAs<uint8_t>(to, BitsFromBytes(ones[0]));
      StoreAs<uint8_t>(to + 1, BitsFromBytes(ones[1]));
    }
  } else if constexpr (kBits == 6) {
#pragma GCC unroll 8
    for (size_t j = 0; j < 2; ++j) {
      Bytes16 pairs = BitsOfBytes(quads[4 * j], 4, 2);
#pragma GCC unroll 8
      for (size_t i = 1; i < 4; ++i) pairs |= UpInBytes(BitsOfBytes(quads[4 * j + i], 4, 2), 2 * i);
      StoreVector(high + half * 128 + j * 64 + lane * 4, pairs);
    }
  }
}

bool IsFiniteHalf(uint16_t half) { return (half & 0x7c00) != 0x7c00; }

template <size_t kLayout>
bool PackRecordOf(std::span<const std::byte* const> rows, int64_t record, std::byte* out) {
  constexpr GroupLayout kThis = kLayouts[kLayout];
  SourceGroup missing{};
  for (Bytes16& codes : missing.codes) codes = Bytes16{} + static_cast<uint8_t>(kThis.zero);
  bool finite = true;
  for (int g = 0; g < kThis.groups_per_record; ++g) {
    std::byte* header =
        out + kThis.record_header_bytes() + static_cast<size_t>(g) * kThis.group_bytes();
    for (size_t begin = 0; begin < kPanelOutputs; begin += kOutputsAtATime) {
      SourceGroups groups;
#pragma GCC unroll 4
      for (size_t i = 0; i < kOutputsAtATime; ++i) {
        SourceGroup& group = groups[i];
        const size_t output = begin + i;
        if (output < rows.size()) {  // records are the source's blocks
          ReadGroup<kThis.format>(rows[output] + record * kThis.block_bytes, static_cast<size_t>(g),
                                  &group);
          finite &= IsFiniteHalf(group.scale);
          if constexpr (kThis.has_min()) finite &= IsFiniteHalf(group.min);
        } else {
          group = missing;
        }
        StoreScales(kThis.scales, group, output, g == 0, out, header);
      }
      StoreCodes<kThis.bits>(groups, begin, header + kThis.group_header_bytes());
    }
  }
  return finite;
}

// The largest magnitude of `count` finite f16.
uint16_t LargestHalf(const std::byte* halves, size_t count) {
  uint16_t largest = 0;
  for (size_t i = 0; i < count; ++i) {
    largest = std::max<uint16_t>(largest, LoadAs<uint16_t>(halves + 2 * i) & 0x7fff);
  }
  return largest;  // magnitudes are ordered as their bits are
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

float LargestWeight(const GroupLayout& layout, const std::byte* records, int64_t num_records) {
  // Super-blocks have their halves in the record's header, with codes below 64 or 128.
  const bool is_super = layout.record_header_bytes() != 0;
  const float scale_code = layout.scales == ScaleKind::kSuper16 ? 128 : is_super ? 63 : 1;
  uint16_t scale = 0;
  uint16_t min = 0;
  for (int64_t record = 0; record < num_records; ++record, records += layout.record_bytes()) {
    scale = std::max(scale, LargestHalf(records, kPanelOutputs));
    if (layout.has_min()) min = std::max(min, LargestHalf(records + 64, kPanelOutputs));
  }
  const int codes = layout.has_min() ? 1 << layout.bits : layout.zero;
  return scale_code * (F16ToF32(scale) * static_cast<float>(codes) + F16ToF32(min));
}

bool PackRecord(const GroupLayout& layout, std::span<const std::byte* const> rows, int64_t record,
                std::byte* out) {
  static constexpr auto kPack = PackFunctions(std::make_index_sequence<kLayouts.size()>());
  return kPack[static_cast<size_t>(&layout - kLayouts.data())](rows, record, out);
}

}  // namespace retort::cpu
