// Any bytes as a template: parsed, and rendered with a fixed context under small budgets. What is
// wrong must end in an Error; spans must be as promised, and nothing of the context may be
// template.
#include <cstdlib>
#include <string_view>

#include "retort/base/error.h"
#include "retort/chat/template.h"

namespace {

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
  options.steps_max = 20'000;
  options.text_bytes_max = 1 << 16;
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
  }
  return 0;
}
