// What constraints cost an engine: the same eight requests with and without a JSON Schema each.
// Usage: structured_engine MODEL [ROUNDS] [TOKENS] [scripted]
// MODEL: a checkpoint, as `retort generate --model` takes it. `scripted`: a step takes 10 ms of no
// processor, as on a device with a queue of its own, and every token is as likely as any other, so
// that constraints meet the rarest texts. The schemas are the MaskBench files
// with tests whose names have the smallest SHA-256, another eight in each round; each is asked for
// four times, so that eight requests are under way most of the time. Prints time per step and per
// token, both ways in turn. Needs ../shared/data (or RETORT_SHARED).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "retort/base/error.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/devices/devices.h"
#include "retort/engine/engine.h"
#include "retort/engine/forwarding_device_test.h"
#include "retort/llm/constraint_text.h"
#include "tests/conformance/maskbench/maskbench.h"

namespace {

using namespace retort;

constexpr size_t kBatch = 8;
constexpr size_t kRepeats = 4;

constexpr auto kScriptedStep = std::chrono::milliseconds(10);

// Computes nothing: a step's logits are all zero, and there 10 ms after its begin.
class ScriptedDevice : public ForwardingDevice {
 public:
  using ForwardingDevice::ForwardingDevice;

  void UploadBatch(const BatchPlan& plan, DeviceBatch& batch) override {
    done_ = std::chrono::steady_clock::now() + kScriptedStep;
    ForwardingDevice::UploadBatch(plan, batch);
  }
  void Embed(const EmbeddingTable&, const DeviceBatch&, float, const Matrix&) override {}
  void RmsNorm(const Matrix&, const Matrix&, float, const Matrix&) override {}
  void Linear(const Matrix&, const LinearWeight&, bool, const Matrix&) override {}
  void RopeAndStoreKv(const Matrix&, int, const RopeSpec&, const DeviceBatch&, KvCache&,
                      int) override {}
  void Attend(const Matrix&, const AttentionSpec&, const DeviceBatch&, const KvCache&, int,
              const Matrix&) override {}
  void GatedActivation(const Matrix&, Activation, const Matrix&) override {}
  void GatherOutputRows(const Matrix&, const DeviceBatch&, const Matrix&) override {}
  std::vector<SampledToken> Sample(const Matrix& logits,
                                   std::span<const SamplingRow> rows) override {
    Synchronize();
    const std::vector<float> zeros(static_cast<size_t>(logits.rows * logits.cols));
    Upload(zeros, logits);
    return ForwardingDevice::Sample(logits, rows);
  }
  void Synchronize() override { std::this_thread::sleep_until(done_); }

 private:
  std::chrono::steady_clock::time_point done_;
};

struct Cost {
  double step_us = 0;
  double token_us = 0;     // of one sequence
  double sequences = 0;    // of a step
  double step_tokens = 0;  // of a step: more than sequences where text has no choice
};

Cost Run(Engine& engine, const std::vector<std::shared_ptr<const ConstraintText>>& constraints,
         int num_tokens, uint64_t seed) {
  const ModelStats before = engine.stats();
  std::vector<std::future<void>> done;
  for (size_t i = 0; i < kBatch * kRepeats; ++i) {
    SamplingParams sampling;
    sampling.seed = seed + i;
    sampling.max_new_tokens = num_tokens;
    sampling.ignore_eos = true;
    Request request;
    request.prompt = std::vector<Span>{{"Write one JSON document about a library:\n", false}};
    request.work = Generation{sampling, constraints.empty() ? nullptr : constraints[i % kBatch]};
    auto promise = std::make_shared<std::promise<void>>();
    done.push_back(promise->get_future());
    ResponseHandler handler;
    handler.on_done = [promise](const Response&) { promise->set_value(); };
    engine.Submit(std::move(request), std::move(handler));
  }
  for (auto& one : done) one.get();
  const ModelStats after = engine.stats();
  const auto steps = static_cast<double>(after.num_steps - before.num_steps);
  const auto tokens = static_cast<double>(after.completion_tokens - before.completion_tokens);
  const auto sequences = static_cast<double>(after.num_step_sequences - before.num_step_sequences);
  const double us = static_cast<double>(after.busy_ns - before.busy_ns) / 1e3;
  return {us / steps, us * (sequences / steps) / tokens, sequences / steps, tokens / steps};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: structured_engine MODEL [ROUNDS] [TOKENS] [scripted]\n");
    return 2;
  }
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 3;
  const int num_tokens = argc > 3 ? std::atoi(argv[3]) : 128;
  const ScratchFolder scratch;
  const auto files = MaskBenchFilesByDigest(scratch.path());
  if (files.empty()) {
    std::fprintf(stderr, "../shared/data/maskbench is absent\n");
    return 3;
  }
  std::vector<std::shared_ptr<const ConstraintText>> constraints;
  for (const auto& file : files) {
    if (constraints.size() == kBatch * static_cast<size_t>(rounds)) break;
    const MaskBenchCase test = ReadMaskBenchCase(file);
    if (test.tests.empty()) continue;
    auto constraint = JsonSchemaConstraint(test.schema);
    try {
      CompileConstraint(*constraint);
      constraints.push_back(std::move(constraint));
    } catch (const Error&) {
    }
  }
  EngineOptions options;
  options.path = argv[1];
  options.max_num_seqs = kBatch;
  const bool scripted = argc > 4 && std::string_view(argv[4]) == "scripted";
  const auto engine =
      scripted ? Engine::Open(options, std::make_unique<ScriptedDevice>(OpenDevice("cpu")))
               : Engine::Open(options);
  Run(*engine, {}, 16, 1);
  std::vector<double> ratios;
  for (int round = 0; round < rounds; ++round) {
    const auto begin = constraints.begin() + static_cast<std::ptrdiff_t>(kBatch) * round;
    const uint64_t seed = 100 + static_cast<uint64_t>(round) * kBatch;
    const Cost without = Run(*engine, {}, num_tokens, seed);
    const Cost with = Run(*engine, {begin, begin + kBatch}, num_tokens, seed);
    const Cost again = Run(*engine, {}, num_tokens, seed);
    const double base = std::min(without.token_us, again.token_us);
    ratios.push_back(with.token_us / base);
    std::printf("round %d: a step of %.1f sequences and %.1f tokens takes %.0f us without\n",
                round + 1, without.sequences, without.step_tokens,
                std::min(without.step_us, again.step_us));
    std::printf("         of %.1f and %.1f it takes %.0f us with constraints\n", with.sequences,
                with.step_tokens, with.step_us);
    std::printf("         per sequence and token %.0f us without, %.0f us with: %+.2f %%\n", base,
                with.token_us, (with.token_us / base - 1) * 100);
  }
  std::sort(ratios.begin(), ratios.end());
  std::printf("median: %+.2f %% per token\n", (ratios[ratios.size() / 2] - 1) * 100);
}
