#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "retort/devices/devices.h"
#include "retort/models/decoder.h"

namespace retort::golden {

// A device of this build at one of its dispatch levels; `missing` says why it cannot run here.
struct DeviceLevel {
  std::string device;
  std::string level;
  std::string missing;

  // How a test that runs on it is named in reports.
  friend void PrintTo(const DeviceLevel& level, std::ostream* out) {
    *out << level.device << " " << level.level;
  }
};

// Every level of every device, for parameterised tests.
std::vector<DeviceLevel> AllDeviceLevels();

// "cpu_avx512_vnni": a name that gtest takes.
std::string TestName(const DeviceLevel& level);

std::unique_ptr<Device> Open(const DeviceLevel& level);

// What a prompt gives, row by row.
struct PromptResult {
  std::vector<float> hidden;               // [T, E] after the final norm
  std::vector<float> logits;               // [T, V]
  std::vector<std::vector<float>> layers;  // [L + 1][T, E] if asked: embedding, then each layer
};

// A decoder with one paged cache and workspace, fed sequence by sequence. Pages are handed out in a
// scattered order, so that nothing can rely on their being neighbours.
class GoldenRunner {
 public:
  static constexpr int kTokensMax = 128;  // of one step

  GoldenRunner(Device& device, const Decoder& decoder, Format kv_format, int context_tokens);

  // Forgets all sequences, starts one, and feeds it `ids` in steps of at most `chunk_tokens`.
  // `keep_layers` gives PromptResult::layers, the last one after the final norm.
  PromptResult Prefill(std::span<const int32_t> ids, int chunk_tokens, bool keep_layers = false);

  // The next step of the sequence: one token; its logits [V].
  std::vector<float> Decode(int32_t token);

  // All prompts as sequences of one step (together at most kTokensMax tokens); logits of each [T,
  // V].
  std::vector<std::vector<float>> PrefillTogether(const std::vector<std::vector<int32_t>>& prompts);

 private:
  void Step(const BatchPlan& plan, PromptResult& result, bool keep_layers);
  BatchPlan PlanOf(std::span<const int32_t> ids, int first_position, int prompt_tokens) const;

  Device& device_;
  const Decoder& decoder_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<DeviceBatch> batch_;
  std::unique_ptr<Decoder::Workspace> workspace_;
  int32_t num_pages_;
  int num_tokens_ = 0;         // of the running sequence
  int num_prompt_tokens_ = 0;  // of its prompt
};

// The lowest id among the largest values.
int32_t ArgMax(std::span<const float> logits);

}  // namespace retort::golden
