#pragma once

#include "retort/backend/cpu/decode_avx512.h"
#include "retort/backend/cpu/group_walk.h"

#if defined(__x86_64__)

#define RETORT_FP16                                                         \
  __attribute__((                                                           \
      target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi," \
             "avx512fp16")))

// Private to backend/cpu: grouped integers as bf16 units, for tiles, by AVX-512 FP16 and VBMI: 32
// weights at a time, in f16 up to the last two instructions.
//
// A weight · 2^16 in f16 becomes the weight in bf16 by a shift to the right and three bits of the
// exponent: f16's exponent of 5 bits counts from -15, bf16's of 8 bits from -127, and 0b011 before
// 5 bits makes up for all of the difference but 16. So weights must be below 1, for which
// PackedPart::exponent sees; what is below 2^-30, 0 as well, becomes some 2^-31.
//
// The shift cuts off 3 of f16's 11 bits, on average 3.5 of the 8 units of bf16's last place. A
// factor of 1 + 2^-9, which is 2 to 4 units, makes up for it, without a rounding's instruction per
// weight; what bf16 holds exactly stays as it is. With the roundings of scale and weight to f16 a
// weight is off by less than 0.82 units of its last place.
namespace retort::cpu {

constexpr int kAndOr = 0xea;  // of VPTERNLOG: (a & b) | c

// What scales and minima are multiplied with, in two steps since 2^16 is not an f16.
struct DecodeFactors {
  __m512h first;
  __m512h second;

  RETORT_FP16 RETORT_INLINE explicit DecodeFactors(int exponent) {
    const int power = 16 - exponent;
    const int half = power / 2;
    const auto bits = [](int e, int mantissa) {
      return static_cast<short>((e + 15) << 10 | mantissa);
    };
    first = _mm512_castsi512_ph(_mm512_set1_epi16(bits(half, 0)));
    second = _mm512_castsi512_ph(_mm512_set1_epi16(bits(power - half, 2)));
  }
};

// weight = scale · (code - centre) + offset, of 16 outputs, two neighbouring values each. `offset`
// is there only with a minimum.
struct Affine {
  __m512h scale;
  __m512h offset;
};

// The codes' centre: 2^(bits - 1), which is what stands for 0 where there is no minimum.
template <int kBits>
constexpr int kCentre = 1 << (kBits - 1);

// Values of 32 outputs, those of outputs 16 · half ... twice each.
RETORT_FP16 RETORT_INLINE __m512h Twice(__m512h values, int half) {
  const __m512i pairs =
      _mm512_set_epi32(0xf000f, 0xe000e, 0xd000d, 0xc000c, 0xb000b, 0xa000a, 0x90009, 0x80008,
                       0x70007, 0x60006, 0x50005, 0x40004, 0x30003, 0x20002, 0x10001, 0);
  const __m512i index = _mm512_add_epi16(pairs, _mm512_set1_epi16(static_cast<short>(16 * half)));
  return _mm512_castsi512_ph(_mm512_permutexvar_epi16(index, _mm512_castph_si512(values)));
}

RETORT_FP16 RETORT_INLINE __m512h LoadScaled(const std::byte* halves,
                                             const DecodeFactors& factors) {
  return _mm512_mul_ph(_mm512_mul_ph(_mm512_loadu_ph(halves), factors.first), factors.second);
}

RETORT_FP16 RETORT_INLINE __m512h UnsignedBytes(const std::byte* bytes) {
  const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  return _mm512_cvtepu16_ph(_mm512_cvtepu8_epi16(codes));
}

RETORT_FP16 RETORT_INLINE __m512h SignedBytes(const std::byte* bytes) {
  const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  return _mm512_cvtepi16_ph(_mm512_cvtepi8_epi16(codes));
}

// Of the group's 32 outputs; `run` is the half of its inputs that kSuper16 wants.
template <ScaleKind kKind, int kBits>
RETORT_FP16 RETORT_INLINE Affine LoadAffine(const std::byte* record, const std::byte* header,
                                            int run, const DecodeFactors& factors) {
  Affine all;
  if constexpr (kKind == ScaleKind::kHalf || kKind == ScaleKind::kHalfMin) {
    all.scale = LoadScaled(header, factors);
  } else if constexpr (kKind == ScaleKind::kSuperMin) {
    all.scale = _mm512_mul_ph(LoadScaled(record, factors), UnsignedBytes(header));
  } else {
    all.scale = _mm512_mul_ph(LoadScaled(record, factors), SignedBytes(header + 32 * run));
  }
  all.offset = _mm512_setzero_ph();
  if constexpr (kHasMin<kKind>) {
    const __m512h centre =
        _mm512_cvtepi16_ph(_mm512_set1_epi16(static_cast<short>(kCentre<kBits>)));
    if constexpr (kKind == ScaleKind::kHalfMin) {
      all.offset = _mm512_fmadd_ph(all.scale, centre, LoadScaled(header + 64, factors));
    } else {
      const __m512h min =
          _mm512_mul_ph(LoadScaled(record + 64, factors), UnsignedBytes(header + 32));
      all.offset = _mm512_fmsub_ph(all.scale, centre, min);
    }
  }
  return all;
}

// One row of a unit: two inputs of 16 outputs, whose codes less their centre are `codes`.
template <bool kHasOffset>
RETORT_FP16 RETORT_INLINE void StoreRow(__m512h codes, const Affine& affine, uint16_t* row) {
  const __m512h weights = kHasOffset ? _mm512_fmadd_ph(codes, affine.scale, affine.offset)
                                     : _mm512_mul_ph(codes, affine.scale);
  const __m512i shifted = _mm512_srai_epi16(_mm512_castph_si512(weights), 3);
  const __m512i kept = _mm512_set1_epi16(static_cast<short>(0x8fff));
  const __m512i exponent = _mm512_set1_epi16(0x3000);
  _mm512_store_si512(row, _mm512_ternarylogic_epi32(shifted, kept, exponent, kAndOr));
}

// Nibbles less 8 in f16: the upper byte of the number whose index is in the low bits of a vector's
// upper byte. Lower bytes are 0 for all of -8 to 7.
RETORT_FP16 RETORT_INLINE __m512h LookUpNibbles(__m512i v) {
  constexpr int kFirst = static_cast<int>(0xc5c6c7c8u);  // -8 to -5, from the lowest byte
  constexpr int kSecond = static_cast<int>(0xbcc0c2c4u);
  constexpr int kThird = 0x42403c00;
  constexpr int kFourth = 0x47464544;
  const __m512i table = _mm512_set4_epi32(kFourth, kThird, kSecond, kFirst);
  constexpr __mmask64 kUpperBytes = 0xaaaaaaaaaaaaaaaau;
  return _mm512_castsi512_ph(_mm512_maskz_permutexvar_epi8(kUpperBytes, v, table));
}

// Half a group of nibbles, [quad 0..3][64] as group_layout.h says.
template <bool kHasOffset>
RETORT_FP16 RETORT_INLINE void DecodeNibbles(const std::byte* planes, const Affine& affine,
                                             uint16_t* rows) {
#pragma GCC unroll 4
  for (int quad = 0; quad < 4; ++quad) {
    const __m512i v = _mm512_loadu_si512(planes + quad * 64);
    uint16_t* low = rows + quad * 64;
    uint16_t* high = low + 4 * 64;
    StoreRow<kHasOffset>(LookUpNibbles(_mm512_slli_epi16(v, 8)), affine, low);
    StoreRow<kHasOffset>(LookUpNibbles(v), affine, low + 32);
    StoreRow<kHasOffset>(LookUpNibbles(_mm512_slli_epi16(v, 4)), affine, high);
    StoreRow<kHasOffset>(LookUpNibbles(_mm512_srli_epi16(v, 4)), affine, high + 32);
  }
}

// Quads of half a group of bytes that share their scales.
template <bool kHasOffset, int kBits>
RETORT_FP16 RETORT_INLINE void DecodeBytes(const uint8_t* codes, int num_quads,
                                           const Affine& affine, uint16_t* rows) {
  const __m512i byte = _mm512_set1_epi16(0xff);
  const __m512i from = _mm512_set1_epi16(0x6400);  // 1024, whose last places count whole numbers
  const __m512h centre =
      _mm512_cvtepi16_ph(_mm512_set1_epi16(static_cast<short>(1024 + kCentre<kBits>)));
#pragma GCC unroll 4
  for (int quad = 0; quad < num_quads; ++quad) {
    const __m512i v = _mm512_loadu_si512(codes + quad * 64);
    const __m512i even = _mm512_ternarylogic_epi32(v, byte, from, kAndOr);
    const __m512i odd = _mm512_or_si512(_mm512_srli_epi16(v, 8), from);
    uint16_t* to = rows + quad * 64;
    StoreRow<kHasOffset>(_mm512_sub_ph(_mm512_castsi512_ph(even), centre), affine, to);
    StoreRow<kHasOffset>(_mm512_sub_ph(_mm512_castsi512_ph(odd), centre), affine, to + 32);
  }
}

template <ScaleKind kKind, int kBits>
RETORT_FP16 RETORT_INLINE void DecodeGroup(const std::byte* record, const std::byte* header,
                                           const std::byte* planes, const DecodeFactors& factors,
                                           uint8_t* codes, uint16_t* unit) {
  const auto of_half = [](const Affine& all, int half) __attribute__((always_inline)) RETORT_FP16 {
    return Affine{Twice(all.scale, half), Twice(all.offset, half)};
  };
  constexpr bool kHasOffset = kHasMin<kKind>;
  if constexpr (kBits == 4) {
    const Affine all = LoadAffine<kKind, kBits>(record, header, 0, factors);
    DecodeNibbles<kHasOffset>(planes, of_half(all, 0), unit);
    DecodeNibbles<kHasOffset>(planes + 256, of_half(all, 1), unit + 512);
    return;
  }
  const auto* bytes = reinterpret_cast<const uint8_t*>(planes);
  if constexpr (kBits != 8) {
    UnpackPlanes<kBits>(planes, _mm512_setzero_si512(), codes);
    bytes = codes;
  }
  constexpr int kQuads = kKind == ScaleKind::kSuper16 ? 4 : 8;  // with the same scale
  for (int quad = 0; quad < 8; quad += kQuads) {
    const Affine all = LoadAffine<kKind, kBits>(record, header, quad / kQuads, factors);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      DecodeBytes<kHasOffset, kBits>(bytes + half * 512 + quad * 64, kQuads, of_half(all, half),
                                     unit + half * 512 + quad * 64);
    }
  }
}

// The groups of a panel, one after the other, decoded.
template <ScaleKind kKind, int kBits>
class GroupDecoder {
 public:
  RETORT_FP16 RETORT_INLINE GroupDecoder(const std::byte* panel, int64_t group, int exponent)
      : factors_(exponent), walk_(panel, group) {}

  // Decodes the group to [2][16 pairs][16][2]; `codes` has room for a group's.
  RETORT_FP16 RETORT_INLINE void Decode(uint8_t* codes, uint16_t* unit) {
    walk_.PrefetchAhead();
    DecodeGroup<kKind, kBits>(walk_.record(), walk_.header(), walk_.planes(), factors_, codes,
                              unit);
    walk_.Advance();
  }

 private:
  DecodeFactors factors_;
  GroupWalk<kKind, kBits> walk_;
};

}  // namespace retort::cpu

#endif
