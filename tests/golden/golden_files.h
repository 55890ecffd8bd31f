#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "retort/base/json.h"
#include "retort/base/shared_data_test.h"
#include "retort/checkpoint/checkpoint.h"

// The answers of another implementation, as shared/data/goldens/README.md describes them.
namespace retort::golden {

// One prompt and what the reference makes of it. Members are empty where the file has none.
struct GoldenPrompt {
  std::vector<int32_t> ids;          // [T]
  std::vector<float> logits;         // [T, V]
  std::vector<int32_t> greedy_ids;   // continuation of the prompt
  std::vector<float> greedy_margin;  // largest logit minus the next, at each of them
  std::vector<std::vector<float>>
      hidden;  // [L + 1][T, E]: embedding, then each layer, the last normed
  // From golden.json; 0 where it says nothing.
  double f32_max_abs = 0.0;    // error of torch's own f32 run
  double bf16_mean_abs = 0.0;  // error of torch's own bf16 run
};

struct GoldenCase {
  std::string name;
  std::filesystem::path checkpoint;
  std::vector<GoldenPrompt> prompts;
};

// Cases of DIR/*/config.json whose "architectures" hold `architecture`, with DIR/NAME.golden.*.
std::vector<GoldenCase> HfCases(const std::filesystem::path& dir, const std::string& architecture);

// Cases of DIR/*.gguf that say `architecture`, are no mixture of experts and hold only tensors in
// `formats`, with DIR/NAME.golden.*.
std::vector<GoldenCase> GgufCases(const std::filesystem::path& dir, const std::string& architecture,
                                  const std::vector<Format>& formats);

std::vector<float> Floats(const Checkpoint& file, const std::string& name);
std::vector<int32_t> Integers(const Checkpoint& file, const std::string& name);  // i32 or i64

// Standard deviation of all values.
double Deviation(std::span<const float> values);

}  // namespace retort::golden
