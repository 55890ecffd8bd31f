#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retort::cpu {

// Which instructions the kernels may use. Ordered: each level may use all that the lower ones do.
enum class DispatchLevel {
  kScalar,    // any machine
  kAvx2,      // AVX2, FMA, F16C
  kAvx512,    // AVX-512 F, BW, DQ, VL
  kVnni,      // AVX-512 VNNI
  kVnniBf16,  // AVX-512 BF16
  kAmx,       // AMX tiles, bf16 and int8
};

// What this machine and its operating system offer.
struct CpuFeatures {
  DispatchLevel level_max = DispatchLevel::kScalar;
  // What is chosen if nobody asks for another: the highest, but on Intel's processors without AMX
  // not kVnniBf16, since VDPBF16PS takes twice the time there of the f32 FMAs that it replaces. On
  // AMD's it takes half of it (bench/machine measures both).
  DispatchLevel level_default = DispatchLevel::kScalar;
  std::string model;  // the processor's own name
};

// Asks the processor (and, for AMX, the kernel's permission, which the whole process then has).
const CpuFeatures& DetectCpu();

// "scalar", "avx2", "avx512", "vnni", "vnni-bf16", "amx".
std::string_view DispatchLevelName(DispatchLevel level);
// Throws Error{kInvalid} for another name.
DispatchLevel ParseDispatchLevel(std::string_view name);

// The levels this machine has, lowest first.
std::vector<DispatchLevel> AvailableDispatchLevels();

// `wanted`, else the environment's RETORT_CPU, else level_default. Throws
// Error{kUnsupported} for a level this machine lacks, {kInvalid} for a name that is none.
DispatchLevel ChooseDispatchLevel(std::optional<DispatchLevel> wanted);

}  // namespace retort::cpu
