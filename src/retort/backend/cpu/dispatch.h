#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retort::cpu {

// Which instructions the kernels may use. Ordered: each level may use all that the lower ones do.
enum class DispatchLevel {
  kScalar,  // any machine
  kAvx2,    // AVX2, FMA, F16C
  kAvx512,  // AVX-512 F, BW, DQ, VL
  kVnni,    // AVX-512 VNNI, and VDPBF16PS where it is fast
  kAmx,     // AMX tiles, bf16 and int8
};

// What this machine and its operating system offer.
struct CpuFeatures {
  DispatchLevel level_max = DispatchLevel::kScalar;
  bool has_avx512_bf16 = false;
  // VDPBF16PS multiplies as often as f32's FMA, with twice the values: on AMD's processors. On
  // Intel's it takes twice the time of the FMAs that it replaces (bench/machine measures both).
  bool has_fast_bf16 = false;
  std::string model;  // the processor's own name
};

// Asks the processor (and, for AMX, the kernel's permission, which the whole process then has).
const CpuFeatures& DetectCpu();

// "scalar", "avx2", "avx512", "vnni", "amx".
std::string_view DispatchLevelName(DispatchLevel level);
// Throws Error{kInvalid} for another name.
DispatchLevel ParseDispatchLevel(std::string_view name);

// The levels this machine has, lowest first.
std::vector<DispatchLevel> AvailableDispatchLevels();

// `wanted`, else the environment's RETORT_CPU, else the highest there is. Throws
// Error{kUnsupported} for a level this machine lacks, {kInvalid} for a name that is none.
DispatchLevel ChooseDispatchLevel(std::optional<DispatchLevel> wanted);

}  // namespace retort::cpu
