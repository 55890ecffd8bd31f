#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "retort/backend/cpu/bench_device.h"

// Speed of what a model does between its linears, at the shapes of SmolLM2-135M and of a 1B Llama.
// "GB/s" counts what a call must at least read and write, "GOP/s" the products of attention.
namespace retort {
namespace {

struct ModelShape {
  const char* name;
  int num_layers;
  int64_t model_dim;
  int num_heads;
  int num_kv_heads;
  int head_dim;
  int64_t ffn_dim;
  int64_t vocabulary;

  int64_t qkv_cols() const { return int64_t{num_heads + 2 * num_kv_heads} * head_dim; }
};

constexpr std::array kModels = {
    ModelShape{"135m", 30, 576, 9, 3, 64, 1536, 49152},
    ModelShape{"1b", 16, 2048, 32, 8, 64, 8192, 49152},
};

cpu::BenchMatrix RandomMatrix(int64_t rows, int64_t cols) {
  cpu::BenchMatrix matrix(rows, cols);
  matrix.FillAtRandom();
  return matrix;
}

// Sequences that each have `context` tokens in the cache, the last `num_rows` of them in this step.
struct Step {
  Step(const ModelShape& model, int num_sequences, int num_rows, int context) {
    const int pages = (context + kPageTokens - 1) / kPageTokens;
    for (int s = 0; s < num_sequences; ++s) {
      plan.row_begin.push_back(s * num_rows);
      for (int i = 0; i < num_rows; ++i) {
        plan.token_ids.push_back(i);
        plan.positions.push_back(context - num_rows + i);
        products += 4.0 * model.num_heads * model.head_dim * (context - num_rows + i + 1);
      }
      for (int page = 0; page < pages; ++page) plan.page_table.push_back(s * pages + page);
    }
    plan.row_begin.push_back(num_sequences * num_rows);
    plan.page_stride = pages;
    KvSpec spec;
    spec.num_layers = model.num_layers;
    spec.num_kv_heads = model.num_kv_heads;
    spec.head_dim = model.head_dim;
    spec.num_pages = num_sequences * pages;
    Device& device = cpu::BenchDevice();
    cache = device.CreateKvCache(spec);
    batch = device.CreateBatch(plan.num_tokens(), num_sequences, pages);
    device.UploadBatch(plan, *batch);
    rope.inverse_frequencies.resize(static_cast<size_t>(model.head_dim / 2));
    std::iota(rope.inverse_frequencies.begin(), rope.inverse_frequencies.end(), 1.0f);
    kv_bytes = 2.0 * num_sequences * context * model.num_kv_heads * model.head_dim * 2;
  }

  // Gives every token of every layer keys and values.
  void FillCache(const ModelShape& model) {
    BatchPlan all = plan;
    all.token_ids.clear();
    all.positions.clear();
    all.row_begin.assign(1, 0);
    const int context = plan.positions.back() + 1;
    for (int64_t s = 0; s < plan.num_sequences(); ++s) {
      for (int i = 0; i < context; ++i) all.positions.push_back(i);
      all.row_begin.push_back(static_cast<int32_t>(all.positions.size()));
    }
    all.token_ids.assign(all.positions.size(), 0);
    Device& device = cpu::BenchDevice();
    const auto whole = device.CreateBatch(all.num_tokens(), all.num_sequences(), all.page_stride);
    device.UploadBatch(all, *whole);
    const cpu::BenchMatrix qkv = RandomMatrix(all.num_tokens(), model.qkv_cols());
    for (int layer = 0; layer < model.num_layers; ++layer) {
      device.RopeAndStoreKv(qkv.view, model.num_heads, rope, *whole, *cache, layer);
    }
  }

  BatchPlan plan;
  std::unique_ptr<KvCache> cache;
  std::unique_ptr<DeviceBatch> batch;
  RopeSpec rope;
  double products = 0;
  double kv_bytes = 0;
};

void RunAttend(benchmark::State& state, ModelShape model, int num_sequences, int num_rows,
               int context) {
  Device& device = cpu::BenchDevice();
  Step step(model, num_sequences, num_rows, context);
  step.FillCache(model);
  const int64_t cols = int64_t{model.num_heads} * model.head_dim;
  const cpu::BenchMatrix q = RandomMatrix(step.plan.num_tokens(), cols);
  const cpu::BenchMatrix out(step.plan.num_tokens(), cols);
  const AttentionSpec spec{model.num_heads, 1.0f / std::sqrt(static_cast<float>(model.head_dim)),
                           0};
  int layer = 0;
  for (auto _ : state) {
    device.Attend(q.view, spec, *step.batch, *step.cache, layer, out.view);
    layer = (layer + 1) % model.num_layers;
  }
  cpu::SetRates(state, step.products, step.kv_bytes);
}

void RunRope(benchmark::State& state, ModelShape model, int num_rows) {
  Step step(model, 1, num_rows, num_rows);
  const cpu::BenchMatrix qkv = RandomMatrix(num_rows, model.qkv_cols());
  int layer = 0;
  for (auto _ : state) {
    cpu::BenchDevice().RopeAndStoreKv(qkv.view, model.num_heads, step.rope, *step.batch,
                                      *step.cache, layer);
    layer = (layer + 1) % model.num_layers;
  }
  const auto queries = 4.0 * num_rows * model.num_heads * model.head_dim;
  cpu::SetRates(state, 0, 4.0 * num_rows * model.qkv_cols() + queries + step.kv_bytes);
}

void RunNorm(benchmark::State& state, ModelShape model, int num_rows) {
  const cpu::BenchMatrix x = RandomMatrix(num_rows, model.model_dim);
  const cpu::BenchMatrix weight = RandomMatrix(1, model.model_dim);
  const cpu::BenchMatrix out(num_rows, model.model_dim);
  for (auto _ : state) cpu::BenchDevice().RmsNorm(x.view, weight.view, 1e-5f, out.view);
  cpu::SetRates(state, 0, 8.0 * num_rows * model.model_dim);
}

void RunActivation(benchmark::State& state, ModelShape model, int num_rows) {
  const cpu::BenchMatrix gate_up = RandomMatrix(num_rows, 2 * model.ffn_dim);
  const cpu::BenchMatrix out(num_rows, model.ffn_dim);
  for (auto _ : state) {
    cpu::BenchDevice().GatedActivation(gate_up.view, Activation::kSilu, out.view);
  }
  cpu::SetRates(state, 0, 12.0 * num_rows * model.ffn_dim);
}

// Logits of which the n-th largest has a probability of about n^-1.5: a few hundred make 95 %.
cpu::BenchMatrix Logits(int num_rows, int64_t vocabulary) {
  cpu::BenchMatrix logits(num_rows, vocabulary);
  std::vector<float> values(static_cast<size_t>(num_rows * vocabulary));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(-1.5 * std::log(RandomUniform(3, i) + 1e-9));
  }
  cpu::BenchDevice().Upload(values, logits.view);
  return logits;
}

void RunSample(benchmark::State& state, ModelShape model, int num_rows, SamplingRow sampling) {
  const cpu::BenchMatrix logits = Logits(num_rows, model.vocabulary);
  std::vector<SamplingRow> rows(static_cast<size_t>(num_rows), sampling);
  for (auto _ : state) {
    benchmark::DoNotOptimize(cpu::BenchDevice().Sample(logits.view, rows));
    for (SamplingRow& row : rows) ++row.position;
  }
  cpu::SetRates(state, 0, 4.0 * num_rows * model.vocabulary);
}

template <class Run, class... Arguments>
void Register(const std::string& name, Run run, Arguments... arguments) {
  cpu::MeasureBest(benchmark::RegisterBenchmark(name.c_str(), run, arguments...));
}

void RegisterAll() {
  struct Attention {
    const char* name;
    int num_sequences;
    int num_rows;
    int context;
  };
  constexpr std::array kAttentions = {
      Attention{"prefill_512", 1, 512, 512},     Attention{"prefill_512_of_4096", 1, 512, 4096},
      Attention{"decode_1_of_4096", 1, 1, 4096}, Attention{"decode_16_of_512", 16, 1, 512},
      Attention{"decode_64_of_64", 64, 1, 64},
  };
  SamplingRow nucleus;
  nucleus.temperature = 0.8f;
  nucleus.top_p = 0.95f;
  for (const ModelShape& model : kModels) {
    const std::string shape = std::string("/") + model.name + "/";
    for (const Attention& a : kAttentions) {
      Register("attend" + shape + a.name, RunAttend, model, a.num_sequences, a.num_rows, a.context);
    }
    for (const int num_rows : {1, 16, 512}) {
      const std::string rows = shape + "rows:" + std::to_string(num_rows);
      Register("rope_and_store" + rows, RunRope, model, num_rows);
      Register("rms_norm" + rows, RunNorm, model, num_rows);
      Register("gated_activation" + rows, RunActivation, model, num_rows);
    }
  }
  // Both have the same vocabulary.
  for (const int num_rows : {1, 16, 64}) {
    const std::string rows = "/1b/rows:" + std::to_string(num_rows);
    Register("sample_largest" + rows, RunSample, kModels[1], num_rows, SamplingRow{});
    Register("sample_top_p" + rows, RunSample, kModels[1], num_rows, nucleus);
  }
}

}  // namespace
}  // namespace retort

int main(int argc, char** argv) {
  retort::RegisterAll();
  return retort::cpu::RunBenchmarks(argc, argv);
}
