#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "retort/backend/cpu/cpu_device.h"
#include "retort/base/random.h"

// What the benchmarks of this folder share: the device and how often to measure.
namespace retort::cpu {

// RETORT_CPU and RETORT_THREADS choose the level and the threads.
inline Device& BenchDevice() {
  static const std::unique_ptr<Device> device = [] {
    CpuDeviceOptions options;
    const char* threads = std::getenv("RETORT_THREADS");
    if (threads != nullptr) options.num_threads = std::atoi(threads);
    return OpenCpuDevice(options);
  }();
  return *device;
}

// A dense matrix in the device's memory.
struct BenchMatrix {
  BenchMatrix(int64_t rows, int64_t cols)
      : buffer(BenchDevice().Allocate(static_cast<size_t>(rows * cols) * 4)),
        view{buffer.get(), 0, rows, cols, cols} {}

  // Values in [-0.5, 0.5).
  void FillAtRandom() {
    std::vector<float> values(static_cast<size_t>(view.rows * view.cols));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(RandomUniform(2, i)) - 0.5f;
    }
    BenchDevice().Upload(values, view);
  }

  std::unique_ptr<Buffer> buffer;
  Matrix view;
};

// Operations and bytes of one call, as rates.
inline void SetRates(benchmark::State& state, double ops, double bytes) {
  const auto calls = static_cast<double>(state.iterations());
  state.counters["GOP/s"] = benchmark::Counter(calls * ops * 1e-9, benchmark::Counter::kIsRate);
  state.counters["GB/s"] = benchmark::Counter(calls * bytes * 1e-9, benchmark::Counter::kIsRate);
}

// The best of short samples: a neighbour rarely sits through all of them. With one thread its
// processor time counts, so that busy neighbours disturb less.
inline void MeasureBest(benchmark::internal::Benchmark* registered) {
  registered->Unit(benchmark::kMicrosecond);
  registered->MinTime(0.004)->Repetitions(40)->ReportAggregatesOnly();
  registered->ComputeStatistics("best", [](const std::vector<double>& values) {
    return *std::min_element(values.begin(), values.end());
  });
  registered->ComputeStatistics("most", [](const std::vector<double>& values) {
    return *std::max_element(values.begin(), values.end());
  });
  if (BenchDevice().info().num_threads > 1) registered->UseRealTime();
}

inline int RunBenchmarks(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("level", BenchDevice().info().dispatch_level);
  benchmark::AddCustomContext("cpu", BenchDevice().info().model);
  benchmark::AddCustomContext("threads", std::to_string(BenchDevice().info().num_threads));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace retort::cpu
