#include "retort/backend/cpu/dispatch.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "retort/base/error.h"

namespace retort::cpu {
namespace {

constexpr std::array<std::string_view, 6> kLevelNames = {"scalar", "avx2",      "avx512",
                                                         "vnni",   "vnni-bf16", "amx"};

#if defined(__x86_64__)

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers Cpuid(unsigned leaf, unsigned subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

bool Bit(unsigned word, int bit) { return ((word >> bit) & 1) != 0; }

// State components the operating system saves (XCR0). Only if CPUID says OSXSAVE.
uint64_t SavedState() {
  unsigned low = 0;
  unsigned high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

// Linux lets a process use AMX's tile data only after it has asked.
bool RequestTilePermission() {
#if defined(__linux__)
  constexpr long kArchReqXcompPerm = 0x1023;
  constexpr long kXfeatureTileData = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureTileData) == 0;
#else
  return false;
#endif
}

bool IsMadeByIntel() {
  const Registers r = Cpuid(0, 0);
  return r.ebx == 0x756e6547u && r.edx == 0x49656e69u && r.ecx == 0x6c65746eu;  // GenuineIntel
}

std::string ProcessorName() {
  char name[49] = {};
  if (Cpuid(0x80000000u, 0).eax < 0x80000004u) return "x86-64";
  for (unsigned i = 0; i < 3; ++i) {
    const Registers r = Cpuid(0x80000002u + i, 0);
    std::memcpy(name + 16 * i, &r, 16);
  }
  std::string text(name);
  text.erase(0, text.find_first_not_of(' '));
  return text;
}

CpuFeatures Detect() {
  CpuFeatures features;
  features.model = ProcessorName();
  const Registers leaf1 = Cpuid(1, 0);
  const Registers leaf7 = Cpuid(7, 0);
  const Registers leaf7_1 = Cpuid(7, 1);
  if (!Bit(leaf1.ecx, 27)) return features;  // OSXSAVE
  const uint64_t saved = SavedState();
  const auto saves = [saved](uint64_t mask) { return (saved & mask) == mask; };

  const bool avx2 = saves(0x6) && Bit(leaf1.ecx, 28) && Bit(leaf7.ebx, 5) && Bit(leaf1.ecx, 12) &&
                    Bit(leaf1.ecx, 29);  // AVX, AVX2, FMA, F16C
  if (!avx2) return features;
  features.level_max = DispatchLevel::kAvx2;

  const bool avx512 = saves(0xe6) && Bit(leaf7.ebx, 16) && Bit(leaf7.ebx, 17) &&
                      Bit(leaf7.ebx, 30) && Bit(leaf7.ebx, 31);  // F, DQ, BW, VL
  if (!avx512) return features;
  features.level_max = DispatchLevel::kAvx512;

  if (!Bit(leaf7.ecx, 11)) return features;  // AVX512_VNNI
  features.level_max = DispatchLevel::kVnni;
  if (!Bit(leaf7_1.eax, 5)) return features;  // AVX512_BF16
  features.level_max = DispatchLevel::kVnniBf16;

  const bool amx = saves(0x60000) && Bit(leaf7.edx, 24) && Bit(leaf7.edx, 22) && Bit(leaf7.edx, 25);
  const bool fp16_and_vbmi = Bit(leaf7.edx, 23) && Bit(leaf7.ecx, 1);
  if (amx && fp16_and_vbmi && RequestTilePermission()) {
    features.level_max = DispatchLevel::kAmx;
  }
  return features;
}

#else

bool IsMadeByIntel() { return false; }

CpuFeatures Detect() {
  CpuFeatures features;
  features.model = "unknown";
  return features;
}

#endif

}  // namespace

const CpuFeatures& DetectCpu() {
  static const CpuFeatures features = [] {
    CpuFeatures found = Detect();
    const bool is_slow = found.level_max == DispatchLevel::kVnniBf16 && IsMadeByIntel();
    found.level_default = is_slow ? DispatchLevel::kVnni : found.level_max;
    return found;
  }();
  return features;
}

std::string_view DispatchLevelName(DispatchLevel level) {
  return kLevelNames[static_cast<size_t>(level)];
}

DispatchLevel ParseDispatchLevel(std::string_view name) {
  const auto found = std::find(kLevelNames.begin(), kLevelNames.end(), name);
  if (found == kLevelNames.end()) {
    Throw(ErrorCode::kInvalid,
          "CPU dispatch level '{}': expected scalar, avx2, avx512, vnni, vnni-bf16 or amx", name);
  }
  return static_cast<DispatchLevel>(found - kLevelNames.begin());
}

std::vector<DispatchLevel> AvailableDispatchLevels() {
  std::vector<DispatchLevel> levels;
  for (int level = 0; level <= static_cast<int>(DetectCpu().level_max); ++level) {
    levels.push_back(static_cast<DispatchLevel>(level));
  }
  return levels;
}

DispatchLevel ChooseDispatchLevel(std::optional<DispatchLevel> wanted) {
  const DispatchLevel level_max = DetectCpu().level_max;
  if (!wanted) {
    const char* forced = std::getenv("RETORT_CPU");
    if (forced != nullptr && *forced != '\0') wanted = ParseDispatchLevel(forced);
  }
  if (!wanted) return DetectCpu().level_default;
  if (*wanted > level_max) {
    Throw(ErrorCode::kUnsupported, "CPU dispatch level '{}': this machine ({}) has at most '{}'",
          DispatchLevelName(*wanted), DetectCpu().model, DispatchLevelName(level_max));
  }
  return *wanted;
}

}  // namespace retort::cpu
