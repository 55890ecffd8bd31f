#include "tests/golden/golden_runner.h"

#include <algorithm>
#include <numeric>

#include "retort/base/error.h"

namespace retort::golden {
namespace {

constexpr int kSequencesMax = 8;

int32_t PagesOf(int num_tokens) { return (num_tokens + kPageTokens - 1) / kPageTokens; }

void Append(Device& device, const Matrix& matrix, std::vector<float>& values) {
  const size_t begin = values.size();
  values.resize(begin + static_cast<size_t>(matrix.rows * matrix.cols));
  device.Download(matrix, std::span(values).subspan(begin));
}

}  // namespace

std::vector<DeviceLevel> AllDeviceLevels() {
  std::vector<DeviceLevel> levels;
  for (const std::string& device : DeviceNames()) {
    for (const DispatchLevel& level : DispatchLevels(device)) {
      levels.push_back({device, level.name, level.missing});
    }
  }
  return levels;
}

std::string TestName(const DeviceLevel& level) {
  std::string name = level.device + "_" + level.level;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

std::unique_ptr<Device> Open(const DeviceLevel& level) {
  DeviceOptions options;
  options.dispatch_level = level.level;
  return OpenDevice(level.device, options);
}

GoldenRunner::GoldenRunner(Device& device, const Decoder& decoder, Format kv_format,
                           int context_tokens)
    : device_(device),
      decoder_(decoder),
      cache_(device.CreateKvCache(
          MakeKvSpec(decoder.spec(), PagesOf(context_tokens) + kSequencesMax, kv_format))),
      workspace_(decoder.CreateWorkspace(kTokensMax, kTokensMax)),
      num_pages_(PagesOf(context_tokens) + kSequencesMax) {
  batch_ = device.CreateBatch(kTokensMax, kSequencesMax, num_pages_);
}

BatchPlan GoldenRunner::PlanOf(std::span<const int32_t> ids, int first_position,
                               int prompt_tokens) const {
  BatchPlan plan;
  plan.token_ids.assign(ids.begin(), ids.end());
  plan.positions.resize(ids.size());
  std::iota(plan.positions.begin(), plan.positions.end(), first_position);
  plan.row_begin = {0, static_cast<int32_t>(ids.size())};
  plan.page_stride = PagesOf(first_position + static_cast<int>(ids.size()));
  if (plan.page_stride > num_pages_) {
    Throw(ErrorCode::kInternal, "{} pages are needed, there are {}", plan.page_stride, num_pages_);
  }
  for (int32_t i = 0; i < plan.page_stride; ++i) plan.page_table.push_back(num_pages_ - 1 - i);
  plan.output_rows.resize(ids.size());
  std::iota(plan.output_rows.begin(), plan.output_rows.end(), 0);
  plan.prompt_tokens = {prompt_tokens};
  return plan;
}

void GoldenRunner::Step(const BatchPlan& plan, PromptResult& result, bool keep_layers) {
  device_.UploadBatch(plan, *batch_);
  Probe probe;
  if (keep_layers) {
    const int num_layers = decoder_.spec().num_layers;
    result.layers.resize(static_cast<size_t>(num_layers) + 1);
    probe = [&, num_layers](std::string_view name, int layer, const Matrix& values) {
      // The reference lists the last layer's output after the final norm only.
      if (name == "layer" && layer == num_layers - 1) return;
      const int place = name == "final" ? layer : layer + 1;
      Append(device_, values, result.layers[static_cast<size_t>(place)]);
    };
  }
  const Matrix hidden = decoder_.Forward(*batch_, plan, *cache_, *workspace_, probe);
  Append(device_, hidden, result.hidden);
  Append(device_, decoder_.Logits(hidden, *workspace_), result.logits);
}

PromptResult GoldenRunner::Prefill(std::span<const int32_t> ids, int chunk_tokens,
                                   bool keep_layers) {
  PromptResult result;
  num_prompt_tokens_ = static_cast<int>(ids.size());
  num_tokens_ = 0;
  const int step_tokens = std::min(chunk_tokens, kTokensMax);
  while (num_tokens_ < num_prompt_tokens_) {
    const int num = std::min(step_tokens, num_prompt_tokens_ - num_tokens_);
    Step(PlanOf(ids.subspan(static_cast<size_t>(num_tokens_), static_cast<size_t>(num)),
                num_tokens_, num_prompt_tokens_),
         result, keep_layers);
    num_tokens_ += num;
  }
  return result;
}

std::vector<float> GoldenRunner::Decode(int32_t token) {
  PromptResult result;
  Step(PlanOf({&token, 1}, num_tokens_, num_prompt_tokens_), result, false);
  ++num_tokens_;
  return result.logits;
}

std::vector<std::vector<float>> GoldenRunner::PrefillTogether(
    const std::vector<std::vector<int32_t>>& prompts) {
  BatchPlan together;
  together.row_begin = {0};
  for (const auto& ids : prompts) {
    together.page_stride = std::max(together.page_stride, PagesOf(static_cast<int>(ids.size())));
  }
  int32_t next_page = 0;
  for (const auto& ids : prompts) {
    const BatchPlan one = PlanOf(ids, 0, static_cast<int>(ids.size()));
    together.token_ids.insert(together.token_ids.end(), ids.begin(), ids.end());
    together.positions.insert(together.positions.end(), one.positions.begin(), one.positions.end());
    together.row_begin.push_back(static_cast<int32_t>(together.token_ids.size()));
    for (int32_t i = 0; i < together.page_stride; ++i) {
      together.page_table.push_back(i < one.page_stride ? next_page++ : -1);
    }
    together.prompt_tokens.push_back(static_cast<int32_t>(ids.size()));
  }
  together.output_rows.resize(together.token_ids.size());
  std::iota(together.output_rows.begin(), together.output_rows.end(), 0);
  PromptResult all;
  Step(together, all, false);
  const auto row_values = static_cast<ptrdiff_t>(decoder_.spec().vocab_size);
  std::vector<std::vector<float>> logits;
  for (size_t s = 0; s < prompts.size(); ++s) {
    logits.emplace_back(all.logits.begin() + together.row_begin[s] * row_values,
                        all.logits.begin() + together.row_begin[s + 1] * row_values);
  }
  return logits;
}

int32_t ArgMax(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace retort::golden
