#include "tests/golden/golden_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "retort/base/error.h"
#include "retort/base/file.h"

namespace retort::golden {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kJsonBytesMax = uint64_t{16} << 20;

Json ReadJson(const fs::path& path) {
  return ParseJson(ReadFile(path, kJsonBytesMax), path.string());
}

std::vector<fs::path> Sorted(const fs::path& dir) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(dir)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

GoldenPrompt ReadPrompt(const Checkpoint& file, const std::string& prefix) {
  GoldenPrompt prompt;
  prompt.ids = Integers(file, prefix + "ids");
  prompt.logits = Floats(file, prefix + "logits");
  prompt.greedy_ids = Integers(file, prefix + "greedy_ids");
  prompt.greedy_margin = Floats(file, prefix + "greedy_margin");
  for (int j = 0;; ++j) {
    const std::string name = fmt::format("{}hidden.{}", prefix, j);
    if (file.Find(name) == nullptr) break;
    prompt.hidden.push_back(Floats(file, name));
  }
  return prompt;
}

GoldenCase ReadCase(const fs::path& checkpoint, const fs::path& stem) {
  GoldenCase golden;
  golden.name = stem.filename().string();
  golden.checkpoint = checkpoint;
  const auto answers = Checkpoint::Open(stem.string() + ".golden.safetensors");
  const Json info = ReadJson(stem.string() + ".golden.json");
  for (size_t k = 0;; ++k) {
    const std::string prefix = fmt::format("prompt.{}.", k);
    if (answers->Find(prefix + "ids") == nullptr) break;
    golden.prompts.push_back(ReadPrompt(*answers, prefix));
    if (!info.contains("prompts")) continue;
    const Json& figures = info["prompts"].at(k);
    golden.prompts.back().f32_max_abs = figures.at("torch_f32_max_abs").get<double>();
    golden.prompts.back().bf16_mean_abs = figures.at("torch_bf16_mean_abs").get<double>();
  }
  if (golden.prompts.empty()) {
    Throw(ErrorCode::kInvalid, "'{}.golden.safetensors' has no prompts", stem.string());
  }
  return golden;
}

bool IsArchitecture(const Json& config, const std::string& architecture) {
  if (!config.contains("architectures") || !config["architectures"].is_array()) return false;
  const Json& names = config["architectures"];
  return std::find(names.begin(), names.end(), Json(architecture)) != names.end();
}

bool HoldsOnly(const Checkpoint& file, const std::vector<Format>& formats) {
  return std::all_of(file.tensors().begin(), file.tensors().end(), [&](const TensorView& tensor) {
    return std::find(formats.begin(), formats.end(), tensor.format) != formats.end();
  });
}

}  // namespace

std::vector<GoldenCase> HfCases(const fs::path& dir, const std::string& architecture) {
  std::vector<GoldenCase> cases;
  for (const fs::path& path : Sorted(dir)) {
    if (!fs::exists(path / "config.json")) continue;
    if (!IsArchitecture(ReadJson(path / "config.json"), architecture)) continue;
    cases.push_back(ReadCase(path, path));
  }
  return cases;
}

std::vector<GoldenCase> GgufCases(const fs::path& dir, const std::string& architecture,
                                  const std::vector<Format>& formats) {
  std::vector<GoldenCase> cases;
  for (const fs::path& path : Sorted(dir)) {
    if (path.extension() != ".gguf") continue;
    const auto file = Checkpoint::Open(path);
    const Json& metadata = file->metadata();
    if (metadata.value("general.architecture", "") != architecture) continue;
    if (metadata.value(architecture + ".expert_count", 0) > 0) continue;
    if (!HoldsOnly(*file, formats)) continue;
    cases.push_back(ReadCase(path, fs::path(path).replace_extension()));
  }
  return cases;
}

std::vector<float> Floats(const Checkpoint& file, const std::string& name) {
  const TensorView& tensor = file.At(name);
  std::vector<float> values(static_cast<size_t>(tensor.shape.NumValues()));
  DecodeRows(tensor, 0, tensor.shape.NumRows(), values.data());
  return values;
}

std::vector<int32_t> Integers(const Checkpoint& file, const std::string& name) {
  const TensorView& tensor = file.At(name);
  const size_t width = tensor.format == Format::kI64 ? 8 : 4;
  if (tensor.format != Format::kI64 && tensor.format != Format::kI32) {
    Throw(ErrorCode::kInvalid, "golden tensor '{}' is {}, expected I64 or I32", name,
          tensor.source_type);
  }
  std::vector<int32_t> values(tensor.bytes.size() / width);
  for (size_t i = 0; i < values.size(); ++i) {
    int64_t value = 0;  // little-endian: an i32 that is not negative fills the lower half
    std::memcpy(&value, tensor.bytes.data() + i * width, width);
    values[i] = static_cast<int32_t>(value);
  }
  return values;
}

double Deviation(std::span<const float> values) {
  double sum = 0.0;
  double squares = 0.0;
  for (const float value : values) {
    sum += double{value};
    squares += double{value} * double{value};
  }
  const double mean = sum / static_cast<double>(values.size());
  return std::sqrt(std::max(0.0, squares / static_cast<double>(values.size()) - mean * mean));
}

}  // namespace retort::golden
