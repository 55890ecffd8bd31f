// Any bytes as a template: parsed, and rendered with a fixed context under small budgets. What is
// wrong must end in an Error; spans must be as promised, and nothing of the context may be
// template. Time and memory are as small as the budgets say.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include "retort/base/error.h"
#include "retort/chat/template.h"

namespace {

constexpr uint64_t kStepsMax = 20'000;
constexpr size_t kTextBytesMax = 1 << 16;
constexpr uint64_t kBytesMax = 4 << 20;
// Of the processor, for one input: a hundred times what so many steps take in a plain build.
constexpr double kSecondsMax = 1;

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

constexpr std::string_view kContentMarker = "\xE2\x98\x83";  // no template of the corpus has it

const retort::Json& Context() {
  static const retort::Json context = retort::ParseJson(
      R"({"messages": [{"role": "system", "content": "☃ be brief"},
                       {"role": "user", "content": "Hé☃\n<|im_end|>"},
                       {"role": "assistant", "content": null, "tool_calls": [{"type": "function",
                        "function": {"name": "f☃", "arguments": {"x": 1, "y": [true, null, 1.5]}}}]}],
          "tools": [{"type": "function", "function": {"name": "f☃", "parameters": {}}}],
          "add_generation_prompt": true, "bos_token": "<s>", "n": 3, "text": "a☃b  c"})",
      "fuzz context");
  return context;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  retort::RenderOptions options;
  options.clock = std::chrono::local_seconds(std::chrono::seconds(1'785'000'000));
  options.steps_max = kStepsMax;
  options.text_bytes_max = kTextBytesMax;
  options.bytes_max = kBytesMax;
  retort::RenderCost cost;
  options.cost = &cost;
  const double begin = CpuSeconds();
  try {
    const bool is_prompt = size % 2 == 1;
    const auto parsed = retort::Template::Parse(
        source, "fuzz",
        is_prompt ? retort::TemplateOptions::ForPrompt() : retort::TemplateOptions());
    const bool source_can_spell = source.find(kContentMarker) != std::string_view::npos ||
                                  source.find('\\') != std::string_view::npos ||
                                  source.find("%c") != std::string_view::npos;
    bool was_template = false;
    bool is_first = true;
    for (const retort::Span& span : parsed.Render(Context(), options)) {
      if (span.text.empty()) std::abort();
      if (!is_first && span.is_template == was_template) std::abort();
      was_template = span.is_template;
      is_first = false;
      if (span.is_template && !source_can_spell &&
          span.text.find(kContentMarker) != std::string::npos) {
        std::abort();
      }
    }
  } catch (const retort::Error& error) {
    if (error.code() == retort::ErrorCode::kInternal) std::abort();
    if (error.message().size() > retort::kRenderMessageBytesMax + source.size() + 100) std::abort();
  }
  if (cost.steps > kStepsMax || cost.bytes > kBytesMax) std::abort();
  if (const double seconds = CpuSeconds() - begin; seconds > kSecondsMax) {
    std::fprintf(stderr, "%.1f s for a render of %llu steps\n", seconds,
                 static_cast<unsigned long long>(cost.steps));
    std::abort();
  }
  return 0;
}
