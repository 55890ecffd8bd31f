#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "retort/backend/cpu/bench_device.h"
#include "retort/base/random.h"
#include "retort/tensor/float_bits.h"

// Speed of linears at the shapes of SmolLM2-135M and of a 1B Llama. Each measurement walks through
// as many copies of the weight as the last-level cache cannot hold two of, as a model's layers do;
// "GOP/s" counts a multiplication and an addition per weight and row, "GB/s" the packed weights.
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

using Weights = std::vector<std::unique_ptr<LinearWeight>>;

std::vector<std::byte> StoredWeights(Format format, const ShapeOf& shape) {
  std::vector<std::byte> bytes(
      static_cast<size_t>(StoredBytes(format, shape.outputs * shape.inputs)));
  // Any numbers below 1 do, as a model's are: bytes without large exponents. In bf16 none so small
  // either that its products take longer.
  const uint64_t most = format == Format::kBF16 ? 0xbcffbcffbcffbcffull : 0x1f1f1f1f1f1f1f1full;
  const uint64_t least = format == Format::kBF16 ? 0x3c003c003c003c00ull : 0;
  for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    StoreAs<uint64_t>(&bytes[i], (RandomBits(1, i) & most) | least);
  }
  return bytes;
}

Weights Pack(Format format, const ShapeOf& shape, Compute compute) {
  const std::vector<std::byte> bytes = StoredWeights(format, shape);
  const TensorView view{"w", format, Shape{shape.outputs, shape.inputs}, bytes, ""};
  const size_t copies = std::clamp<size_t>(kWorkingSetBytes / bytes.size(), 1, 24);
  Weights weights;
  for (size_t i = 0; i < copies; ++i) {
    weights.push_back(cpu::BenchDevice().PackLinear({&view, 1}, {}, compute));
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
  Device& device = cpu::BenchDevice();
  const Weights& weights = WeightsFor(format, shape, compute);
  cpu::BenchMatrix from(num_rows, shape.inputs);
  from.FillAtRandom();
  const cpu::BenchMatrix to(num_rows, shape.outputs);
  const Matrix& x = from.view;
  const Matrix& y = to.view;
  device.Linear(x, *weights[0], false, y);  // touches the memory
  size_t next = 0;
  for (auto _ : state) {
    device.Linear(x, *weights[next], false, y);
    next = (next + 1) % weights.size();
  }
  cpu::SetRates(state, 2.0 * static_cast<double>(num_rows * shape.outputs * shape.inputs),
                static_cast<double>(weights[0]->size_bytes()));
}

// What a model's first step does: each panel is packed as it is multiplied. "GB/s" counts stored
// bytes.
void RunUnpacked(benchmark::State& state, Format format, ShapeOf shape, int64_t num_rows) {
  const DeviceInfo& info = cpu::BenchDevice().info();
  const auto device = OpenCpuDevice(
      {.num_threads = info.num_threads, .dispatch_level = info.dispatch_level, .pack_late = true});
  const std::vector<std::byte> bytes = StoredWeights(format, shape);
  const std::vector<std::vector<std::byte>> copies(
      std::clamp<size_t>(kWorkingSetBytes / bytes.size(), 1, 24), bytes);
  Weights weights;
  for (const auto& copy : copies) {
    const TensorView view{"w", format, Shape{shape.outputs, shape.inputs}, copy, ""};
    weights.push_back(device->PackLinear({&view, 1}, {}, Compute::kNative));
  }
  cpu::BenchMatrix x(num_rows, shape.inputs);
  x.FillAtRandom();
  const cpu::BenchMatrix y(num_rows, shape.outputs);
  size_t next = 0;
  for (auto _ : state) {
    device->Linear(x.view, *weights[next], false, y.view);
    next = (next + 1) % weights.size();
  }
  cpu::SetRates(state, 2.0 * static_cast<double>(num_rows * shape.outputs * shape.inputs),
                static_cast<double>(bytes.size()));
}

void RegisterAll() {
  for (const Format format :
       {Format::kQ4_1, Format::kQ4_0, Format::kQ8_0, Format::kBF16, Format::kQ6_K, Format::kQ4_K}) {
    for (const int64_t num_rows : {1, 16}) {
      const std::string name =
          std::string(Info(format).name) + "/unpacked/1b_gate_up/rows:" + std::to_string(num_rows);
      cpu::MeasureBest(benchmark::RegisterBenchmark(name.c_str(), RunUnpacked, format,
                                                    ShapeOf{"1b_gate_up", 16384, 2048}, num_rows));
    }
    for (const Compute compute : {Compute::kNative, Compute::kExact}) {
      for (const ShapeOf& shape : kShapes) {
        if (shape.inputs % Info(format).block_values != 0) continue;
        for (const int64_t num_rows : {1, 4, 16, 32, 64, 512}) {
          const std::string name = std::string(Info(format).name) +
                                   (compute == Compute::kExact ? "/exact/" : "/native/") +
                                   shape.name + "/rows:" + std::to_string(num_rows);
          cpu::MeasureBest(benchmark::RegisterBenchmark(name.c_str(), RunLinear, format, shape,
                                                        compute, num_rows));
        }
      }
    }
  }
}

}  // namespace
}  // namespace retort

int main(int argc, char** argv) {
  retort::RegisterAll();
  return retort::cpu::RunBenchmarks(argc, argv);
}
