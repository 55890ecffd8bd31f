#include "retort/backend/cpu/linear_kernels.h"

#if defined(__x86_64__)

#include "retort/backend/cpu/decode_avx512.h"

// AVX-512 F, BW, DQ, VL: grouped integers out of their planes, as bytes and scales.
namespace retort::cpu {
namespace {

RETORT_AVX512 inline void UnpackScales(ScaleKind kind, const std::byte* record,
                                       const std::byte* header, float* scales, float* mins) {
  const int runs = kind == ScaleKind::kSuper16 ? 2 : 1;
  for (int run = 0; run < runs; ++run) {
    for (int half = 0; half < 2; ++half) {
      const ScaleAndMin found = LoadScale(kind, record, header, half, run);
      const int at = run * kPanelOutputs + half * 16;
      _mm512_store_ps(scales + at, found.scale);
      _mm512_store_ps(mins + at, found.min);
    }
  }
}

template <int kBits>
RETORT_AVX512 void UnpackBits(const GroupLayout& layout, const std::byte* panel,
                              int64_t group_begin, int num_groups, bool is_signed,
                              UnpackScratch* scratch, GroupTile* tile) {
  const size_t group_bytes = layout.group_bytes();
  const size_t group_header = layout.group_header_bytes();
  const size_t record_header = layout.record_header_bytes();
  const size_t record_bytes = layout.record_bytes();
  const int scales_per_group = layout.scale_values() == 16 ? 64 : 32;
  const __m512i zero = _mm512_set1_epi8(static_cast<char>(is_signed ? layout.zero : 0));
  // 8-bit codes need no unpacking.
  const bool in_place = kBits == 8 && !is_signed;
  const std::byte* first_codes = nullptr;
  for (int g = 0; g < num_groups; ++g) {
    const int64_t group = group_begin + g;
    const std::byte* record =
        panel + static_cast<size_t>(group / layout.groups_per_record) * record_bytes;
    const std::byte* header = record + record_header +
                              static_cast<size_t>(group % layout.groups_per_record) * group_bytes;
    if (g == 0) first_codes = header + group_header;
    UnpackScales(layout.scales, record, header, scratch->scales + g * scales_per_group,
                 scratch->mins + g * scales_per_group);
    if (!in_place) {
      UnpackPlanes<kBits>(header + group_header, zero, scratch->codes + g * kGroupCodes);
    }
  }
  tile->codes = in_place ? reinterpret_cast<const uint8_t*>(first_codes) : scratch->codes;
  tile->group_stride = in_place ? record_bytes : kGroupCodes;
  tile->scales = scratch->scales;
  tile->mins = layout.has_min() ? scratch->mins : nullptr;
  tile->num_groups = num_groups;
  tile->scale_values = layout.scale_values();
  tile->bits = layout.bits;
  tile->is_signed = is_signed;
}

RETORT_AVX512 void Unpack(const GroupLayout& layout, const std::byte* panel, int64_t group_begin,
                          int num_groups, bool is_signed, UnpackScratch* scratch, GroupTile* tile) {
  switch (layout.bits) {
    case 4:
      return UnpackBits<4>(layout, panel, group_begin, num_groups, is_signed, scratch, tile);
    case 5:
      return UnpackBits<5>(layout, panel, group_begin, num_groups, is_signed, scratch, tile);
    case 6:
      return UnpackBits<6>(layout, panel, group_begin, num_groups, is_signed, scratch, tile);
    default:
      return UnpackBits<8>(layout, panel, group_begin, num_groups, is_signed, scratch, tile);
  }
}

}  // namespace

void AddAvx512Unpacking(LinearKernels* kernels) { kernels->unpack = Unpack; }

}  // namespace retort::cpu

#else

namespace retort::cpu {
void AddAvx512Unpacking(LinearKernels*) {}
}  // namespace retort::cpu

#endif
