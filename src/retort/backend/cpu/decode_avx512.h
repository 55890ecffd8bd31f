#pragma once

#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// GCC's own header reads a deliberately undefined value (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "retort/backend/cpu/group_layout.h"
#include "retort/tensor/float_bits.h"

#define RETORT_INLINE __attribute__((always_inline)) inline
#define RETORT_AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))

// Private to backend/cpu: one group of integers out of its planes, as bytes or as a bf16 unit, by
// AVX-512 F, BW, DQ and VL. Inlined where a matrix unit multiplies it.
namespace retort::cpu {

// Bits 2 · quad and 2 · quad + 1 of each byte, moved to bits 4 and 5.
RETORT_AVX512 inline __m512i TopBits(__m512i v, int quad) {
  const __m512i mask = _mm512_set1_epi8(0x30);
  switch (quad) {
    case 0:
      return _mm512_and_si512(_mm512_slli_epi16(v, 4), mask);
    case 1:
      return _mm512_and_si512(_mm512_slli_epi16(v, 2), mask);
    case 2:
      return _mm512_and_si512(v, mask);
    default:
      return _mm512_and_si512(_mm512_srli_epi16(v, 2), mask);
  }
}

template <int kBits>
RETORT_AVX512 inline void UnpackPlanes(const std::byte* planes, __m512i zero, uint8_t* codes) {
  const __m512i low_nibble = _mm512_set1_epi8(15);
  for (int half = 0; half < 2; ++half) {
    uint8_t* to = codes + half * 512;
    if constexpr (kBits == 8) {
#pragma GCC unroll 8
      for (int quad = 0; quad < 8; ++quad) {
        const __m512i v = _mm512_loadu_si512(planes + half * 512 + quad * 64);
        _mm512_store_si512(to + quad * 64, _mm512_sub_epi8(v, zero));
      }
      continue;
    }
#pragma GCC unroll 4
    for (int quad = 0; quad < 4; ++quad) {
      const __m512i v = _mm512_loadu_si512(planes + half * 256 + quad * 64);
      __m512i low = _mm512_and_si512(v, low_nibble);
      __m512i high = _mm512_and_si512(_mm512_srli_epi16(v, 4), low_nibble);
      if constexpr (kBits == 5) {
        const __m512i fifth = _mm512_set1_epi8(16);
        const std::byte* masks = planes + 512 + half * 64 + quad * 8;
        low = _mm512_mask_add_epi8(low, LoadAs<uint64_t>(masks), low, fifth);
        high = _mm512_mask_add_epi8(high, LoadAs<uint64_t>(masks + 32), high, fifth);
      }
      if constexpr (kBits == 6) {
        const std::byte* top = planes + 512 + half * 128;
        low = _mm512_or_si512(low, TopBits(_mm512_loadu_si512(top), quad));
        high = _mm512_or_si512(high, TopBits(_mm512_loadu_si512(top + 64), quad));
      }
      _mm512_store_si512(to + quad * 64, _mm512_sub_epi8(low, zero));
      _mm512_store_si512(to + 256 + quad * 64, _mm512_sub_epi8(high, zero));
    }
  }
}

RETORT_AVX512 inline __m512 LoadHalves(const std::byte* halves) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
}

// bf16 weights are the upper halves of f32 ones. What is cut off is made up for by a factor: a cut
// takes up to one unit in the last of 8 places, the factor gives a third of one (mantissa 1) to two
// thirds (mantissa 2), half of one on average. So |error| < 2/3 unit, without a rounding's two
// instructions per weight, and what bf16 holds exactly stays as it is.
constexpr float kCutFactor = 1.0f + 0x1p-8f * 2 / 3;

constexpr int kAndOr = 0xea;  // of VPTERNLOG: (a & b) | c

// 2^(23 - kBit) + the code of kBits bits that begins at bit kBit of each lane: below an exponent of
// 23 - kBit these bits count whole numbers.
template <int kBits, int kBit>
RETORT_AVX512 RETORT_INLINE __m512 CodeAsFloat(__m512i v) {
  static_assert(kBit >= 8 && kBit + kBits <= 23);  // 2^15 · scale still rounds below scale / 512
  constexpr int kMask = ((1 << kBits) - 1) << kBit;
  constexpr int kBase = (127 + 23 - kBit) << 23;
  return _mm512_castsi512_ps(
      _mm512_ternarylogic_epi32(v, _mm512_set1_epi32(kMask), _mm512_set1_epi32(kBase), kAndOr));
}

// weight = scale · code + min of 16 outputs, both times kCutFactor.
struct Affine {
  __m512 scale;
  __m512 min;

  // What belongs to CodeAsFloat<., kBit>.
  template <int kBit>
  RETORT_AVX512 RETORT_INLINE __m512 Offset() const {
    return _mm512_fnmadd_ps(scale, _mm512_set1_ps(static_cast<float>(1 << (23 - kBit))), min);
  }
};

// Outputs [16 · half, 16 · half + 16) of a group; `run` is the half of its inputs that kSuper16
// wants.
template <ScaleKind kKind>
RETORT_AVX512 RETORT_INLINE Affine LoadAffine(const std::byte* record, const std::byte* header,
                                              int half, int run, int zero) {
  const int n = half * 16;
  const auto* bytes = reinterpret_cast<const __m128i*>(header + n);
  const __m512 factor = _mm512_set1_ps(kCutFactor);
  __m512 scale;
  __m512 min;
  if constexpr (kKind == ScaleKind::kHalf || kKind == ScaleKind::kHalfMin) {
    scale = LoadHalves(header + 2 * n);
  } else if constexpr (kKind == ScaleKind::kSuperMin) {
    const __m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes));
    scale = _mm512_mul_ps(LoadHalves(record + 2 * n), _mm512_cvtepi32_ps(code));
  } else {
    const __m512i code = _mm512_cvtepi8_epi32(_mm_loadu_si128(bytes + 2 * run));
    scale = _mm512_mul_ps(LoadHalves(record + 2 * n), _mm512_cvtepi32_ps(code));
  }
  scale = _mm512_mul_ps(scale, factor);
  if constexpr (kKind == ScaleKind::kHalfMin) {
    min = _mm512_mul_ps(LoadHalves(header + 64 + 2 * n), factor);
  } else if constexpr (kKind == ScaleKind::kSuperMin) {
    const __m512i code = _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes + 2));
    min = _mm512_mul_ps(LoadHalves(record + 64 + 2 * n), _mm512_set1_ps(-kCutFactor));
    min = _mm512_mul_ps(min, _mm512_cvtepi32_ps(code));
  } else {
    min = _mm512_mul_ps(scale, _mm512_set1_ps(static_cast<float>(-zero)));
  }
  return {scale, min};
}

// Two neighbouring inputs of 16 outputs: one row of a unit.
RETORT_AVX512 RETORT_INLINE void StorePair(__m512 even, __m512 odd, uint16_t* row) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  const __m512i low = _mm512_srli_epi32(_mm512_castps_si512(even), 16);
  _mm512_store_si512(row, _mm512_ternarylogic_epi32(_mm512_castps_si512(odd), upper, low, kAndOr));
}

// Half a group of nibbles, [quad 0..3][64] as group_layout.h says.
RETORT_AVX512 RETORT_INLINE void DecodeNibbles(const std::byte* planes, const Affine& affine,
                                               uint16_t* rows) {
  const __m512 offset8 = affine.Offset<8>();
  const __m512 offset12 = affine.Offset<12>();
  const __m512 offset16 = affine.Offset<16>();
  const auto at8 = [&](__m512i v) __attribute__((always_inline)) RETORT_AVX512 {
    return _mm512_fmadd_ps(CodeAsFloat<4, 8>(v), affine.scale, offset8);
  };
  const auto at12 = [&](__m512i v) __attribute__((always_inline)) RETORT_AVX512 {
    return _mm512_fmadd_ps(CodeAsFloat<4, 12>(v), affine.scale, offset12);
  };
  const auto at16 = [&](__m512i v) __attribute__((always_inline)) RETORT_AVX512 {
    return _mm512_fmadd_ps(CodeAsFloat<4, 16>(v), affine.scale, offset16);
  };
#pragma GCC unroll 4
  for (int quad = 0; quad < 4; ++quad) {
    const __m512i v = _mm512_loadu_si512(planes + quad * 64);
    const __m512i first = _mm512_slli_epi32(v, 12);  // bits 0 to 7
    const __m512i last = _mm512_srli_epi32(v, 12);   // bits 20 to 31
    uint16_t* low = rows + quad * 64;
    uint16_t* high = low + 4 * 64;
    StorePair(at12(first), at8(v), low);          // nibbles 0 and 2
    StorePair(at16(v), at12(last), low + 32);     // 4 and 6
    StorePair(at16(first), at12(v), high);        // 1 and 3
    StorePair(at8(last), at16(last), high + 32);  // 5 and 7
  }
}

// Quads of half a group of bytes that share their scales.
RETORT_AVX512 RETORT_INLINE void DecodeBytes(const uint8_t* codes, int num_quads,
                                             const Affine& affine, uint16_t* rows) {
  const __m512 offset = affine.Offset<8>();
  const auto decode = [&](__m512i v) __attribute__((always_inline)) RETORT_AVX512 {
    return _mm512_fmadd_ps(CodeAsFloat<8, 8>(v), affine.scale, offset);
  };
#pragma GCC unroll 4
  for (int quad = 0; quad < num_quads; ++quad) {
    const __m512i v = _mm512_loadu_si512(codes + quad * 64);
    StorePair(decode(_mm512_slli_epi32(v, 8)), decode(v), rows + quad * 64);
    StorePair(decode(_mm512_srli_epi32(v, 8)), decode(_mm512_srli_epi32(v, 16)),
              rows + quad * 64 + 32);
  }
}

template <ScaleKind kKind, int kBits>
RETORT_AVX512 RETORT_INLINE void DecodeGroup(const std::byte* record, const std::byte* header,
                                             const std::byte* planes, int zero, uint8_t* codes,
                                             uint16_t* unit) {
  if constexpr (kBits == 4) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      DecodeNibbles(planes + half * 256, LoadAffine<kKind>(record, header, half, 0, zero),
                    unit + half * 512);
    }
    return;
  }
  const auto* bytes = reinterpret_cast<const uint8_t*>(planes);
  if constexpr (kBits != 8) {
    UnpackPlanes<kBits>(planes, _mm512_setzero_si512(), codes);
    bytes = codes;
  }
  constexpr int kQuads = kKind == ScaleKind::kSuper16 ? 4 : 8;  // with the same scale
  for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 2
    for (int quad = 0; quad < 8; quad += kQuads) {
      DecodeBytes(bytes + half * 512 + quad * 64, kQuads,
                  LoadAffine<kKind>(record, header, half, quad / kQuads, zero),
                  unit + half * 512 + quad * 64);
    }
  }
}

// The groups of a panel, one after the other. Its layout (group_layout.h) in constants: kernels
// that compute where everything lies take a tenth longer.
template <ScaleKind kKind, int kBits>
class GroupWalk {
 public:
  RETORT_INLINE GroupWalk(const GroupLayout& layout, const std::byte* panel, int64_t group)
      : zero_(layout.zero),
        record_(panel + static_cast<size_t>(group / kGroupsPerRecord) * kRecordBytes),
        header_(record_ + kRecordHeaderBytes +
                static_cast<size_t>(group % kGroupsPerRecord) * kGroupBytes) {}

  // Decodes the group to [2][16 pairs][16][2]; `codes` has room for a group's.
  RETORT_AVX512 RETORT_INLINE void Decode(uint8_t* codes, uint16_t* unit) {
    // Far enough ahead for memory to answer while groups are decoded, and near enough for the
    // processor's own prefetching to have begun, which has more requests under way.
    constexpr size_t kPrefetchBytes = 2048;
#pragma GCC unroll 32
    for (size_t at = 0; at < kGroupBytes; at += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(header_) + kPrefetchBytes + at, _MM_HINT_T0);
    }
    DecodeGroup<kKind, kBits>(record_, header_, header_ + kGroupHeaderBytes, zero_, codes, unit);
    header_ += kGroupBytes;
    if (kGroupsPerRecord == 1 || header_ == record_ + kRecordBytes) {
      record_ = header_;
      header_ += kRecordHeaderBytes;
    }
  }

 private:
  static constexpr GroupLayout kLayout{
      Format::kF32, kBits, 0,
      kKind,        0,     kKind == ScaleKind::kSuperMin || kKind == ScaleKind::kSuper16 ? 8 : 1};
  static constexpr int64_t kGroupsPerRecord = kLayout.groups_per_record;
  static constexpr size_t kRecordHeaderBytes = kLayout.record_header_bytes();
  static constexpr size_t kGroupHeaderBytes = kLayout.group_header_bytes();
  static constexpr size_t kGroupBytes = kLayout.group_bytes();
  static constexpr size_t kRecordBytes = kLayout.record_bytes();

  int zero_;
  const std::byte* record_;
  const std::byte* header_;
};

// The instance of Make<scale kind, bits> for a layout: `Make` is a template of a struct with a
// member `value`.
template <template <ScaleKind, int> typename Make>
auto InstanceFor(const GroupLayout& layout) {
  using enum ScaleKind;
  switch (layout.scales) {
    case kHalf:
      if (layout.bits == 4) return Make<kHalf, 4>::value;
      return layout.bits == 5 ? Make<kHalf, 5>::value : Make<kHalf, 8>::value;
    case kHalfMin:
      return layout.bits == 4 ? Make<kHalfMin, 4>::value : Make<kHalfMin, 5>::value;
    case kSuperMin:
      return layout.bits == 4 ? Make<kSuperMin, 4>::value : Make<kSuperMin, 5>::value;
    default:
      return Make<kSuper16, 6>::value;
  }
}

}  // namespace retort::cpu

#endif
