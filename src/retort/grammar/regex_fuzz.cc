// Regular expressions, in both dialects: alone, and as a schema's pattern.
#include <cstddef>
#include <cstdint>

#include "retort/base/json.h"
#include "retort/grammar/fuzz_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  return retort::grammar::FuzzWalk(text, [&](uint32_t choice) {
    const retort::grammar::Limits limits = retort::grammar::FuzzLimits();
    if (choice & 0x100) return retort::CompileRegex(text, limits);
    retort::JsonSchemaOptions options;
    options.limits = limits;
    return retort::CompileJsonSchema(
        retort::DumpJson({{"type", "string"}, {"pattern", text}, {"maxLength", 40}}), options);
  });
}
