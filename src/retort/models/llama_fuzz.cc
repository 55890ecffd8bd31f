#include <cstddef>
#include <cstdint>
#include <string_view>

#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/models/architecture.h"

// Any JSON as config.json or as GGUF metadata: a spec within bounds whose sizes can be computed, or
// an Error.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace retort;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Architecture& llama = LlamaArchitecture();
  for (const bool gguf : {false, true}) {
    try {
      const Json json = ParseJson(text, "input");
      const DecoderSpec spec =
          gguf ? llama.from_gguf(json, {}, "input") : llama.from_hf(json, json, "input");
      Validate(spec);
      if (CountParameters(spec).total <= 0 || KvBytesPerToken(spec, Format::kF32) <= 0)
        __builtin_trap();
      MakeRopeSpec(spec.rope, {});
      if (spec.num_layers <= 8) {
        MapTensors(spec, llama.tensor_rules, TensorNaming::kGguf, {});
      }
    } catch (const Error&) {
    }
  }
  return 0;
}
