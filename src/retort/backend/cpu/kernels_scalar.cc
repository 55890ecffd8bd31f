#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "retort/backend/cpu/linear_kernels.h"
#include "retort/tensor/float_bits.h"

// The kernels as plain loops: what every other level computes, and the level of machines without
// AVX2.
namespace retort::cpu {
namespace {

void UnpackPlanes(int bits, const std::byte* planes, uint8_t* codes) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(planes);
  if (bits == 8) {
    std::memcpy(codes, bytes, kGroupCodes);
    return;
  }
  for (size_t half = 0; half < 2; ++half) {
    for (size_t i = 0; i < 256; ++i) {
      const uint8_t byte = bytes[half * 256 + i];
      codes[half * 512 + i] = byte & 15;
      codes[half * 512 + 256 + i] = byte >> 4;
    }
  }
  const uint8_t* high = bytes + 512;
  if (bits == 5) {
    for (size_t i = 0; i < kGroupCodes; ++i) {
      codes[i] |= static_cast<uint8_t>(((high[i / 8] >> (i % 8)) & 1) << 4);
    }
  } else if (bits == 6) {
    for (size_t i = 0; i < kGroupCodes; ++i) {
      const size_t quad = i / 64 % 4;
      const uint8_t byte = high[i / 256 * 64 + i % 64];
      codes[i] |= static_cast<uint8_t>(((byte >> (2 * quad)) & 3) << 4);
    }
  }
}

void UnpackScales(const GroupLayout& layout, const std::byte* record, const std::byte* header,
                  float* scales, float* mins) {
  for (size_t n = 0; n < kPanelOutputs; ++n) {
    switch (layout.scales) {
      case ScaleKind::kHalfMin:
        mins[n] = F16ToF32(LoadAs<uint16_t>(header + 64 + 2 * n));
        [[fallthrough]];
      case ScaleKind::kHalf:
        scales[n] = F16ToF32(LoadAs<uint16_t>(header + 2 * n));
        break;
      case ScaleKind::kSuperMin:
        scales[n] = F16ToF32(LoadAs<uint16_t>(record + 2 * n)) *
                    static_cast<float>(LoadAs<uint8_t>(header + n));
        mins[n] = -(F16ToF32(LoadAs<uint16_t>(record + 64 + 2 * n)) *
                    static_cast<float>(LoadAs<uint8_t>(header + 32 + n)));
        break;
      case ScaleKind::kSuper16: {
        const float d = F16ToF32(LoadAs<uint16_t>(record + 2 * n));
        scales[n] = d * static_cast<float>(LoadAs<int8_t>(header + n));
        scales[kPanelOutputs + n] = d * static_cast<float>(LoadAs<int8_t>(header + 32 + n));
        break;
      }
    }
  }
}

void Unpack(const GroupLayout& layout, const std::byte* panel, int64_t group_begin, int num_groups,
            bool is_signed, UnpackScratch* scratch, GroupTile* tile) {
  const size_t scales_per_group = kPanelOutputs * kGroupValues / layout.scale_values();
  for (int g = 0; g < num_groups; ++g) {
    const int64_t group = group_begin + g;
    const std::byte* record =
        panel + static_cast<size_t>(group / layout.groups_per_record) * layout.record_bytes();
    const std::byte* header =
        record + layout.record_header_bytes() +
        static_cast<size_t>(group % layout.groups_per_record) * layout.group_bytes();
    UnpackScales(layout, record, header, scratch->scales + g * scales_per_group,
                 scratch->mins + g * scales_per_group);
    uint8_t* codes = scratch->codes + g * kGroupCodes;
    UnpackPlanes(layout.bits, header + layout.group_header_bytes(), codes);
    if (is_signed) {
      for (size_t i = 0; i < kGroupCodes; ++i) {
        codes[i] = static_cast<uint8_t>(codes[i] - layout.zero);
      }
    }
  }
  *tile = {scratch->codes,  kGroupCodes,
           scratch->scales, layout.has_min() ? scratch->mins : nullptr,
           num_groups,      layout.scale_values(),
           layout.bits,     is_signed};
}

bool WantsSigned(int64_t, int) { return false; }

// The integers of one row, one run of inputs that share a scale, one output lane.
int32_t DotRun(const uint8_t* lane_codes, const int8_t* row_codes, int num_quads) {
  int32_t sum = 0;
  for (int quad = 0; quad < num_quads; ++quad) {
    for (int i = 0; i < 4; ++i) {
      sum += int32_t{lane_codes[quad * 64 + i]} * int32_t{row_codes[quad * 4 + i]};
    }
  }
  return sum;
}

void MultiplyGroups(const GroupTile& tile, const QuantizedRows& rows, int64_t num_rows,
                    float* sums) {
  const int runs = kGroupValues / tile.scale_values;
  const int quads = tile.scale_values / 4;
  for (int64_t row = 0; row < num_rows; ++row) {
    const int8_t* codes = rows.codes + row * kGroupValues;
    const float* scales = rows.scales + row;
    float* out = sums + row * kPanelOutputs;
    for (int run = 0; run < tile.num_groups * runs; ++run) {
      const int group = run / runs;
      const int first_quad = run % runs * quads;
      const float row_scale = scales[group * kBlockRows];
      for (int n = 0; n < kPanelOutputs; ++n) {
        const uint8_t* lane =
            tile.codes + group * tile.group_stride + n / 16 * 512 + n % 16 * 4 + first_quad * 64;
        int32_t dot =
            DotRun(lane, codes + group * kBlockRows * kGroupValues + first_quad * 4, quads);
        if (tile.mins == nullptr) dot += rows.corrections[run * kBlockRows + row];
        const float scale = tile.scales[run * kPanelOutputs + n] * row_scale;
        out[n] += static_cast<float>(dot) * scale;
        if (tile.mins != nullptr) {
          out[n] += tile.mins[run * kPanelOutputs + n] * rows.sums[run * kBlockRows + row];
        }
      }
    }
  }
}

void MultiplyF32(const float* w, int num_inputs, const float* x, int64_t x_stride, int64_t num_rows,
                 float* sums) {
  for (int64_t row = 0; row < num_rows; ++row) {
    float sum[kPanelOutputs] = {};
    for (int k = 0; k < num_inputs; ++k) {
      const float value = x[row * x_stride + k];
      for (int n = 0; n < kPanelOutputs; ++n) sum[n] += value * w[k * kPanelOutputs + n];
    }
    for (int n = 0; n < kPanelOutputs; ++n) sums[row * kPanelOutputs + n] += sum[n];
  }
}

void DecodeF16(const uint16_t* values, int num_inputs, float* out) {
  for (int i = 0; i < num_inputs * kPanelOutputs; ++i) out[i] = F16ToF32(values[i]);
}

void DecodeBf16(const uint16_t* units, int num_units, float* out) {
  for (int unit = 0; unit < num_units; ++unit) {
    for (int i = 0; i < 2 * 16 * 32; ++i) {
      const int half = i / 512;
      const int pair = i / 32 % 16;
      const int lane = i / 2 % 16;
      const int64_t k = unit * kBf16UnitValues + PlaceInUnit(2 * pair + i % 2);
      out[k * kPanelOutputs + half * 16 + lane] = BF16ToF32(units[unit * 1024 + i]);
    }
  }
}

void DecodeGroups(const GroupTile& tile, int zero, float* out) {
  const int runs = kGroupValues / tile.scale_values;
  for (int k = 0; k < tile.num_groups * kGroupValues; ++k) {
    const int group = k / kGroupValues;
    const int in_group = k % kGroupValues;
    const int run = group * runs + in_group / tile.scale_values;
    for (int n = 0; n < kPanelOutputs; ++n) {
      const uint8_t code = tile.codes[group * tile.group_stride + n / 16 * 512 + in_group / 4 * 64 +
                                      n % 16 * 4 + in_group % 4];
      float value = static_cast<float>(int{code} - zero) * tile.scales[run * kPanelOutputs + n];
      if (tile.mins != nullptr) value += tile.mins[run * kPanelOutputs + n];
      out[k * kPanelOutputs + n] = value;
    }
  }
}

// To the nearest integer, ties to even, in [-127, 127]; NaN gives 0.
int8_t ToCode(float value) {
  if (!(value > -127.5f && value < 127.5f)) return value < 0 ? -127 : (value > 0 ? 127 : 0);
  return static_cast<int8_t>(std::nearbyint(value));
}

void QuantizeRow(const float* x, int64_t num_groups, int8_t* codes, float* scales, int32_t* sums) {
  for (int64_t g = 0; g < num_groups; ++g) {
    const float* from = x + g * kGroupValues;
    int8_t* to = codes + g * kBlockRows * kGroupValues;
    // Compared as integers, magnitudes order NaN above infinity: a value that is no number makes
    // the scale, and with it the result, no number.
    uint32_t bits = 0;
    for (int i = 0; i < kGroupValues; ++i) {
      bits = std::max(bits, std::bit_cast<uint32_t>(from[i]) & 0x7fffffffu);
    }
    const auto magnitude = std::bit_cast<float>(bits);
    const bool is_zero = magnitude < kSmallestMagnitude;
    const float inverse = is_zero ? 0.0f : 127.0f / magnitude;
    scales[g * kBlockRows] = is_zero ? 0.0f : magnitude / 127.0f;
    for (int run = 0; run < 2; ++run) {
      int32_t sum = 0;
      for (int i = run * 16; i < run * 16 + 16; ++i) sum += to[i] = ToCode(from[i] * inverse);
      sums[(2 * g + run) * kBlockRows] = sum;
    }
  }
}

void WriteOut(const float* sums, const float* bias, bool accumulate, int count, float* out) {
  for (int n = 0; n < count; ++n) {
    const float value = bias != nullptr ? sums[n] + bias[n] : sums[n];
    out[n] = accumulate ? out[n] + value : value;
  }
}

void RoundRow(const float* x, int64_t num_inputs, size_t stride, uint16_t* out) {
  const int64_t num_units = (num_inputs + kBf16UnitValues - 1) / kBf16UnitValues;
  for (int64_t unit = 0; unit < num_units; ++unit) {
    for (int64_t i = 0; i < kBf16UnitValues; ++i) {
      const int64_t k = unit * kBf16UnitValues + i;
      out[static_cast<size_t>(unit) * stride + static_cast<size_t>(PlaceInUnit(i))] =
          k < num_inputs ? F32ToBF16(x[k]) : 0;
    }
  }
}

}  // namespace

LinearKernels ScalarKernels() {
  LinearKernels kernels;
  kernels.unpack = Unpack;
  kernels.wants_signed = WantsSigned;
  kernels.multiply_groups = MultiplyGroups;
  kernels.multiply_f32 = MultiplyF32;
  kernels.decode_f16 = DecodeF16;
  kernels.decode_bf16 = DecodeBf16;
  kernels.decode_groups = DecodeGroups;
  kernels.multiply_bf16 = nullptr;
  kernels.write_out = WriteOut;
  kernels.quantize_row = QuantizeRow;
  kernels.round_row = RoundRow;
  return kernels;
}

}  // namespace retort::cpu
