#include "retort/tensor/codecs.h"
#include "retort/tensor/float_bits.h"

// The K formats: super-blocks of 256 values whose group scales are integers times an f16.
//   Q2_K  u8 scales[16] (low nibble scale, high nibble minimum), qs[64], f16 d, f16 dmin
//   Q3_K  hmask[32], qs[64], scales[12] (16 of 6 bits, minus 32), f16 d
//   Q4_K  f16 d, f16 dmin, scales[12] (8 scales and 8 minima of 6 bits), qs[128]
//   Q5_K  f16 d, f16 dmin, scales[12], qh[32], qs[128]
//   Q6_K  ql[128], qh[64], i8 scales[16], f16 d
namespace retort::codec {
namespace {

int Byte(const std::byte* bytes, size_t i) { return LoadAs<uint8_t>(bytes + i); }
float Half(const std::byte* bytes) { return F16ToF32(LoadAs<uint16_t>(bytes)); }

struct ScaleMin {
  int scale;
  int minimum;
};

// Group j of the 8 (scale, minimum) pairs that Q4_K and Q5_K pack in 12 bytes: the first four of
// each in the low 6 bits of bytes 0-3 and 4-7; the others in the nibbles of bytes 8-11 below the
// top two bits of bytes 0-7.
ScaleMin UnpackScaleMin(const std::byte* packed, size_t j) {
  if (j < 4) return {Byte(packed, j) & 63, Byte(packed, j + 4) & 63};
  const int nibbles = Byte(packed, j + 4);
  return {(nibbles & 15) | (Byte(packed, j - 4) >> 6) << 4, (nibbles >> 4) | (Byte(packed, j) >> 6)
                                                                                 << 4};
}

// Scale j of the 16 that Q3_K packs in 12 bytes: low nibbles in bytes 0-7 (scale j and j + 8 share
// a byte), high two bits in bytes 8-11.
int UnpackQ3Scale(const std::byte* packed, size_t j) {
  const int low = (Byte(packed, j % 8) >> (4 * (j / 8))) & 15;
  const int high = (Byte(packed, 8 + j % 4) >> (2 * (j / 4))) & 3;
  return (low | high << 4) - 32;
}

}  // namespace

void DecodeQ2_K(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += 84, y += 256) {
    const std::byte* scales = &blocks[b];
    const std::byte* codes = &blocks[b + 16];
    const float d = Half(&blocks[b + 80]);
    const float dmin = Half(&blocks[b + 82]);
    for (size_t group = 0; group < 16; ++group) {  // 16 values each
      const float scale = d * static_cast<float>(Byte(scales, group) & 15);
      const float minimum = dmin * static_cast<float>(Byte(scales, group) >> 4);
      const size_t first = 32 * (group / 8) + 16 * (group % 2);
      const size_t shift = 2 * (group % 8 / 2);
      for (size_t j = 0; j < 16; ++j) {
        const int code = (Byte(codes, first + j) >> shift) & 3;
        y[16 * group + j] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

void DecodeQ3_K(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += 110, y += 256) {
    const std::byte* high_bits = &blocks[b];
    const std::byte* codes = &blocks[b + 32];
    const std::byte* scales = &blocks[b + 96];
    const float d = Half(&blocks[b + 108]);
    for (size_t group = 0; group < 16; ++group) {
      const float scale = d * static_cast<float>(UnpackQ3Scale(scales, group));
      const size_t half = 16 * (group % 2);
      const size_t shift = 2 * (group % 8 / 2);
      for (size_t j = 0; j < 16; ++j) {
        const int low = (Byte(codes, 32 * (group / 8) + half + j) >> shift) & 3;
        const int high = (Byte(high_bits, half + j) >> (group / 2)) & 1;
        y[16 * group + j] = scale * static_cast<float>(low - (high ? 0 : 4));
      }
    }
  }
}

void DecodeQ4_K(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += 144, y += 256) {
    const float d = Half(&blocks[b]);
    const float dmin = Half(&blocks[b + 2]);
    for (size_t group = 0; group < 8; ++group) {  // 32 values each
      const ScaleMin packed = UnpackScaleMin(&blocks[b + 4], group);
      const float scale = d * static_cast<float>(packed.scale);
      const float minimum = dmin * static_cast<float>(packed.minimum);
      const std::byte* codes = &blocks[b + 16 + 32 * (group / 2)];
      for (size_t j = 0; j < 32; ++j) {
        const int code = (Byte(codes, j) >> (4 * (group % 2))) & 15;
        y[32 * group + j] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

void DecodeQ5_K(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += 176, y += 256) {
    const float d = Half(&blocks[b]);
    const float dmin = Half(&blocks[b + 2]);
    const std::byte* high_bits = &blocks[b + 16];
    for (size_t group = 0; group < 8; ++group) {
      const ScaleMin packed = UnpackScaleMin(&blocks[b + 4], group);
      const float scale = d * static_cast<float>(packed.scale);
      const float minimum = dmin * static_cast<float>(packed.minimum);
      const std::byte* codes = &blocks[b + 48 + 32 * (group / 2)];
      for (size_t j = 0; j < 32; ++j) {
        const int low = (Byte(codes, j) >> (4 * (group % 2))) & 15;
        const int high = (Byte(high_bits, j) >> group) & 1;
        y[32 * group + j] = scale * static_cast<float>(low | high << 4) - minimum;
      }
    }
  }
}

void DecodeQ6_K(std::span<const std::byte> blocks, std::span<float> out) {
  float* y = out.data();
  for (size_t b = 0; b < blocks.size(); b += 210, y += 256) {
    const float d = Half(&blocks[b + 208]);
    for (size_t group = 0; group < 16; ++group) {  // 16 values each
      const float scale = d * static_cast<float>(LoadAs<int8_t>(&blocks[b + 192 + group]));
      // Within each half of 128: four runs of 32; runs 0 and 1 are the low nibbles, 2 and 3 the
      // high.
      const size_t half = group / 8;
      const size_t run = group % 8 / 2;
      const size_t offset = 16 * (group % 2);
      const std::byte* low_bits = &blocks[b + 64 * half + 32 * (run % 2) + offset];
      const std::byte* high_bits = &blocks[b + 128 + 32 * half + offset];
      for (size_t j = 0; j < 16; ++j) {
        const int low = (Byte(low_bits, j) >> (4 * (run / 2))) & 15;
        const int high = (Byte(high_bits, j) >> (2 * run)) & 3;
        y[16 * group + j] = scale * static_cast<float>((low | high << 4) - 32);
      }
    }
  }
}

}  // namespace retort::codec
