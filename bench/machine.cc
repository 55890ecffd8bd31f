// What this machine can do: the peaks that other numbers are held against. Each is the best of many
// short samples on one core at a time or on all at once; a busy machine shows in the difference
// between "one core × cores" and "all cores".
//   build/release/bench/machine [--json]
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "retort/backend/cpu/amx_tiles.h"
#include "retort/backend/cpu/cpu_memory.h"
#include "retort/backend/cpu/dispatch.h"
#include "retort/base/json.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define RETORT_TARGET(features) __attribute__((target(features)))
#define RETORT_AVX512 "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"

namespace retort {
namespace {

using cpu::DispatchLevel;

// Twelve independent sums: more than the latency of any unit measured times its width, few enough
// for the registers.
#define RETORT_CHAINS(one) \
  one(0) one(1) one(2) one(3) one(4) one(5) one(6) one(7) one(8) one(9) one(10) one(11)
constexpr int kNumChains = 12;

// A loop of `instruction` on twelve sums, all operands registers; returns the operations of a
// round, `ops` an instruction.
#define RETORT_DECLARE(i) auto sum##i = zero;
#define RETORT_STEP(i) asm volatile(RETORT_INSTRUCTION " %1, %1, %0" : "+v"(sum##i) : "v"(x));
#define RETORT_LOOP(zero_value, x_value, ops) \
  const auto zero = zero_value;               \
  const auto x = x_value;                     \
  RETORT_CHAINS(RETORT_DECLARE)               \
  for (int64_t i = 0; i < rounds; ++i) {      \
    RETORT_CHAINS(RETORT_STEP)                \
  }                                           \
  return kNumChains * static_cast<double>(ops)

#define RETORT_INSTRUCTION "vfmadd231ps"
RETORT_TARGET("avx2,fma") double FmaAvx2(int64_t rounds) {
  RETORT_LOOP(_mm256_setzero_ps(), _mm256_set1_ps(0.5f), 8 * 2);
}

RETORT_TARGET(RETORT_AVX512) double FmaAvx512(int64_t rounds) {
  RETORT_LOOP(_mm512_setzero_ps(), _mm512_set1_ps(0.5f), 16 * 2);
}
#undef RETORT_INSTRUCTION

#define RETORT_INSTRUCTION "vpdpbusd"
RETORT_TARGET(RETORT_AVX512 ",avx512vnni") double DotInt8(int64_t rounds) {
  RETORT_LOOP(_mm512_setzero_si512(), _mm512_set1_epi32(0x01020304), 64 * 2);
}
#undef RETORT_INSTRUCTION

#define RETORT_INSTRUCTION "vpdpwssd"
RETORT_TARGET(RETORT_AVX512 ",avx512vnni") double DotInt16(int64_t rounds) {
  RETORT_LOOP(_mm512_setzero_si512(), _mm512_set1_epi32(0x01020304), 32 * 2);
}
#undef RETORT_INSTRUCTION

#define RETORT_INSTRUCTION "vdpbf16ps"
RETORT_TARGET(RETORT_AVX512 ",avx512bf16") double DotBf16(int64_t rounds) {
  RETORT_LOOP(_mm512_setzero_ps(), _mm512_castsi512_ps(_mm512_set1_epi32(0x3f803f80)), 32 * 2);
}
#undef RETORT_INSTRUCTION

void ConfigureTiles() {
  cpu::TileConfig config;
  for (int tile = 0; tile < 8; ++tile) config.Set(tile, 16);
  config.Load();
}

RETORT_TARGET("amx-tile,amx-bf16") double TilesBf16(int64_t rounds) {
  ConfigureTiles();
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 4 * 16 * 16 * 32 * 2.0;
}

RETORT_TARGET("amx-tile,amx-int8") double TilesInt8(int64_t rounds) {
  ConfigureTiles();
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
  return 4 * 16 * 16 * 64 * 2.0;
}

constexpr int64_t kTileStepBytes = 4096;  // both operands of a round

// The same with operands from memory that is walked through: two tiles of each.
RETORT_TARGET("amx-tile,amx-bf16")
void TilesFromMemory(const std::byte* data, int64_t bytes, int64_t passes) {
  ConfigureTiles();
  for (int64_t pass = 0; pass < passes; ++pass) {
    for (int64_t at = 0; at < bytes; at += kTileStepBytes) {
      _tile_loadd(4, data + at, 64);
      _tile_loadd(6, data + at + 2048, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(7, data + at + 3072, 64);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(5, data + at + 1024, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_release();
}

// Reads `bytes` in `num_streams` streams side by side.
RETORT_TARGET("avx2") void Read(const std::byte* data, int64_t bytes, int num_streams) {
  constexpr int64_t kStep = 256;
  constexpr int64_t kAhead = 4096;
  const int64_t stream_bytes = bytes / num_streams / kStep * kStep;
  __m256i sum = _mm256_setzero_si256();
  for (int64_t at = 0; at < stream_bytes; at += kStep) {
    for (int stream = 0; stream < num_streams; ++stream) {
      const std::byte* from = data + stream * stream_bytes + at;
      for (int64_t i = 0; i < kStep; i += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(from) + kAhead + i, _MM_HINT_T0);
        sum = _mm256_xor_si256(sum, _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i)));
        sum = _mm256_xor_si256(sum,
                               _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i + 32)));
      }
    }
  }
  asm volatile("" : "+x"(sum));
}

// The threads that measure, each on its own core, starting together.
class Cores {
 public:
  Cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) ids_.push_back(core);
    }
  }
  int count() const { return static_cast<int>(ids_.size()); }

  // The shortest of `num_samples` times in which `num_cores` cores do body(core) once each.
  double Best(int num_cores, int num_samples, const std::function<void(int)>& body) const {
    std::vector<double> best(1, 1e9);
    std::atomic<int> arrived{0};
    std::vector<std::thread> threads;
    std::vector<std::vector<std::pair<double, double>>> spans(static_cast<size_t>(num_cores));
    for (int core = 0; core < num_cores; ++core) {
      threads.emplace_back([&, core] {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(ids_[static_cast<size_t>(core)], &set);
        sched_setaffinity(0, sizeof set, &set);
        for (int sample = 0; sample < num_samples; ++sample) {
          arrived.fetch_add(1);
          while (arrived.load() < (sample + 1) * num_cores) std::this_thread::yield();
          const double begin = Now();
          body(core);
          spans[static_cast<size_t>(core)].emplace_back(begin, Now());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (int sample = 0; sample < num_samples; ++sample) {
      double begin = 1e18;
      double end = 0;
      for (const auto& core : spans) {
        begin = std::min(begin, core[static_cast<size_t>(sample)].first);
        end = std::max(end, core[static_cast<size_t>(sample)].second);
      }
      best[0] = std::min(best[0], end - begin);
    }
    return best[0];
  }

 private:
  static double Now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  std::vector<int> ids_;
};

struct Result {
  std::string what;
  std::string unit;
  double one_core = 0;
  double all_cores = 0;
};

class Machine {
 public:
  void AddCompute(const std::string& what, double (*run)(int64_t)) {
    constexpr int64_t kRounds = 20000;
    constexpr int kSamples = 60;
    double ops_per_round = 0;
    const auto rate = [&](int num_cores) {
      const double seconds = cores_.Best(num_cores, kSamples, [&](int) {
        const double ops = run(kRounds);
        if (num_cores == 1) ops_per_round = ops;
      });
      return num_cores * kRounds / seconds * 1e-9;
    };
    const double one = rate(1);
    const double all = rate(cores_.count());
    results_.push_back({what, "GOP/s", one * ops_per_round, all * ops_per_round});
  }

  void AddTilesFromMemory(const std::string& what, int64_t bytes) {
    constexpr int kSamples = 40;
    constexpr int64_t kStepsPerSample = 20000;
    const int64_t passes = std::max<int64_t>(1, kStepsPerSample / (bytes / kTileStepBytes));
    const auto memory = Touched(bytes);
    const auto rate = [&](int num_cores) {
      const double seconds = cores_.Best(num_cores, kSamples, [&](int core) {
        TilesFromMemory(memory[static_cast<size_t>(core)].data(), bytes, passes);
      });
      const double ops =
          static_cast<double>(passes * (bytes / kTileStepBytes)) * 4 * 16 * 16 * 32 * 2;
      return num_cores * ops / seconds * 1e-9;
    };
    results_.push_back({what, "GOP/s", rate(1), rate(cores_.count())});
  }

  void AddRead(const std::string& what, int64_t bytes, int num_streams) {
    const int num_samples = bytes > int64_t{64} << 20 ? 8 : 60;
    const int64_t passes = std::max<int64_t>(1, (int64_t{16} << 20) / bytes);
    const auto memory = Touched(bytes);
    const auto rate = [&](int num_cores) {
      const double seconds = cores_.Best(num_cores, num_samples, [&](int core) {
        for (int64_t pass = 0; pass < passes; ++pass) {
          Read(memory[static_cast<size_t>(core)].data(), bytes, num_streams);
        }
      });
      return static_cast<double>(num_cores * passes * bytes) / seconds * 1e-9;
    };
    results_.push_back({what, "GB/s", rate(1), rate(cores_.count())});
  }

  int num_cores() const { return cores_.count(); }
  const std::vector<Result>& results() const { return results_; }

 private:
  std::vector<cpu::AlignedBytes> Touched(int64_t bytes) const {
    std::vector<cpu::AlignedBytes> memory;
    for (int core = 0; core < cores_.count(); ++core) {
      // What is prefetched beyond the end is there too.
      memory.emplace_back(static_cast<size_t>(bytes) + 8192);
      std::memset(memory.back().data(), 1, memory.back().size());
    }
    return memory;
  }

  Cores cores_;
  std::vector<Result> results_;
};

void Measure(Machine& machine) {
  const cpu::CpuFeatures& features = cpu::DetectCpu();
  if (features.level_max >= DispatchLevel::kAvx2) machine.AddCompute("f32 FMA, AVX2", FmaAvx2);
  if (features.level_max >= DispatchLevel::kAvx512) {
    machine.AddCompute("f32 FMA, AVX-512", FmaAvx512);
  }
  if (features.level_max >= DispatchLevel::kVnni) {
    machine.AddCompute("int8, VPDPBUSD", DotInt8);
    machine.AddCompute("int16, VPDPWSSD", DotInt16);
  }
  if (features.level_max >= DispatchLevel::kVnniBf16) {
    machine.AddCompute("bf16, VDPBF16PS", DotBf16);
  }
  if (features.level_max >= DispatchLevel::kAmx) {
    machine.AddCompute("int8, AMX", TilesInt8);
    machine.AddCompute("bf16, AMX", TilesBf16);
    machine.AddTilesFromMemory("bf16, AMX from L1 (32 KiB)", int64_t{32} << 10);
    machine.AddTilesFromMemory("bf16, AMX from L2 (512 KiB)", int64_t{512} << 10);
  }
  machine.AddRead("read 24 KiB (L1)", int64_t{24} << 10, 1);
  machine.AddRead("read 512 KiB (L2)", int64_t{512} << 10, 1);
  machine.AddRead("read 16 MiB", int64_t{16} << 20, 1);
  for (const int num_streams : {1, 4}) {
    machine.AddRead(
        fmt::format("read 512 MiB, {} stream{} a core", num_streams, num_streams == 1 ? "" : "s"),
        int64_t{512} << 20, num_streams);
  }
}

}  // namespace
}  // namespace retort

int main(int argc, char** argv) {
  const bool is_json = argc > 1 && std::string(argv[1]) == "--json";
  if (argc > 1 && !is_json) {
    fmt::print(stderr, "usage: machine [--json]\n");
    return 2;
  }
  retort::Machine machine;
  if (retort::cpu::DetectCpu().level_max == retort::cpu::DispatchLevel::kScalar) {
    fmt::print(stderr, "machine: this processor has no AVX2\n");
    return 2;
  }
  retort::Measure(machine);
  if (is_json) {
    retort::Json json = {{"cpu", retort::cpu::DetectCpu().model},
                         {"cores", machine.num_cores()},
                         {"peaks", retort::Json::array()}};
    for (const retort::Result& result : machine.results()) {
      json["peaks"].push_back({{"what", result.what},
                               {"unit", result.unit},
                               {"one_core", result.one_core},
                               {"all_cores", result.all_cores}});
    }
    fmt::print("{}\n", retort::DumpJson(json));
    return 0;
  }
  fmt::print("{}, {} cores\n", retort::cpu::DetectCpu().model, machine.num_cores());
  for (const retort::Result& result : machine.results()) {
    fmt::print("{:<32} {:>9.1f} {:>9.1f} {}\n", result.what, result.one_core, result.all_cores,
               result.unit);
  }
  return 0;
}

#else

int main() {
  fmt::print(stderr, "machine: only x86-64 is measured\n");
  return 2;
}

#endif
