#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "retort/backend/cpu/cpu_device.h"
#include "retort/base/random.h"
#include "retort/tensor/float_bits.h"

// Speed of linears at the shapes of SmolLM2-135M and of a 1B Llama. RETORT_CPU and RETORT_THREADS
// choose the level and the threads; with one thread its processor time counts, so that busy
// neighbours disturb less. Each measurement walks through as many copies of the weight as the
// last-level cache cannot hold two of, as a model's layers do; "GOP/s" counts a multiplication and
// an addition per weight and row, "GB/s" the packed weights.
namespace retort {
namespace {

constexpr size_t kWorkingSetBytes = size_t{192} << 20;

struct ShapeOf {
  const char* name;
  int64_t outputs;
  int64_t inputs;
};

constexpr std::array kShapes = {
    ShapeOf{"135m_qkv", 960, 576},   ShapeOf{"135m_gate_up", 3072, 576},
    ShapeOf{"135m_down", 576, 1536}, ShapeOf{"135m_lm_head", 49152, 576},
    ShapeOf{"1b_qkv", 3072, 2048},   ShapeOf{"1b_gate_up", 16384, 2048},
    ShapeOf{"1b_down", 2048, 8192},
};

Device& TheDevice() {
  static const std::unique_ptr<Device> device = [] {
    CpuDeviceOptions options;
    const char* threads = std::getenv("RETORT_THREADS");
    if (threads != nullptr) options.num_threads = std::atoi(threads);
    return OpenCpuDevice(options);
  }();
  return *device;
}

using Weights = std::vector<std::unique_ptr<LinearWeight>>;

Weights Pack(Format format, const ShapeOf& shape, Compute compute) {
  std::vector<std::byte> bytes(
      static_cast<size_t>(StoredBytes(format, shape.outputs * shape.inputs)));
  // Any finite numbers do: bytes without the exponents of infinity.
  for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    StoreAs<uint64_t>(&bytes[i], RandomBits(1, i) & 0x3f3f3f3f3f3f3f3full);
  }
  const TensorView view{"w", format, Shape{shape.outputs, shape.inputs}, bytes, ""};
  const size_t copies = std::clamp<size_t>(kWorkingSetBytes / bytes.size(), 1, 24);
  Weights weights;
  for (size_t i = 0; i < copies; ++i) {
    weights.push_back(TheDevice().PackLinear({&view, 1}, {}, compute));
  }
  return weights;
}

// Kept from one measurement to the next of the same weight.
const Weights& WeightsFor(Format format, const ShapeOf& shape, Compute compute) {
  static std::string current;
  static Weights weights;
  const std::string wanted = std::string(Info(format).name) + shape.name +
                             (compute == Compute::kExact ? "exact" : "native");
  if (wanted != current) {
    weights.clear();
    weights = Pack(format, shape, compute);
    current = wanted;
  }
  return weights;
}

void RunLinear(benchmark::State& state, Format format, ShapeOf shape, Compute compute,
               int64_t num_rows) {
  Device& device = TheDevice();
  const Weights& weights = WeightsFor(format, shape, compute);
  const auto from = device.Allocate(static_cast<size_t>(num_rows * shape.inputs) * 4);
  const auto to = device.Allocate(static_cast<size_t>(num_rows * shape.outputs) * 4);
  const Matrix x{from.get(), 0, num_rows, shape.inputs, shape.inputs};
  const Matrix y{to.get(), 0, num_rows, shape.outputs, shape.outputs};
  std::vector<float> values(static_cast<size_t>(num_rows * shape.inputs));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(RandomUniform(2, i)) - 0.5f;
  }
  device.Upload(values, x);
  device.Linear(x, *weights[0], false, y);  // touches the memory
  size_t next = 0;
  for (auto _ : state) {
    device.Linear(x, *weights[next], false, y);
    next = (next + 1) % weights.size();
  }
  const auto calls = static_cast<double>(state.iterations());
  const auto ops = 2.0 * static_cast<double>(num_rows * shape.outputs * shape.inputs);
  state.counters["GOP/s"] = benchmark::Counter(calls * ops * 1e-9, benchmark::Counter::kIsRate);
  state.counters["GB/s"] = benchmark::Counter(
      calls * static_cast<double>(weights[0]->size_bytes()) * 1e-9, benchmark::Counter::kIsRate);
}

void RegisterAll() {
  for (const Format format :
       {Format::kQ4_1, Format::kQ4_0, Format::kQ8_0, Format::kBF16, Format::kQ6_K, Format::kQ4_K}) {
    for (const Compute compute : {Compute::kNative, Compute::kExact}) {
      for (const ShapeOf& shape : kShapes) {
        if (shape.inputs % Info(format).block_values != 0) continue;
        for (const int64_t num_rows : {1, 4, 16, 32, 64, 512}) {
          const std::string name = std::string(Info(format).name) +
                                   (compute == Compute::kExact ? "/exact/" : "/native/") +
                                   shape.name + "/rows:" + std::to_string(num_rows);
          auto* registered = benchmark::RegisterBenchmark(name.c_str(), RunLinear, format, shape,
                                                          compute, num_rows);
          registered->Unit(benchmark::kMicrosecond);
          // The best of short samples: a neighbour rarely sits through all of them.
          registered->MinTime(0.004)->Repetitions(40)->ReportAggregatesOnly();
          registered->ComputeStatistics("best", [](const std::vector<double>& values) {
            return *std::min_element(values.begin(), values.end());
          });
          registered->ComputeStatistics("most", [](const std::vector<double>& values) {
            return *std::max_element(values.begin(), values.end());
          });
          if (TheDevice().info().num_threads > 1) registered->UseRealTime();
        }
      }
    }
  }
}

}  // namespace
}  // namespace retort

int main(int argc, char** argv) {
  retort::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("level", retort::TheDevice().info().dispatch_level);
  benchmark::AddCustomContext("cpu", retort::TheDevice().info().model);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
