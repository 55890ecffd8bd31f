// JSON Schemas: the input is the schema's text.
#include <cstddef>
#include <cstdint>

#include "retort/grammar/fuzz_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  return retort::grammar::FuzzWalk(text, [&](uint32_t choice) {
    retort::JsonSchemaOptions options;
    options.limits = retort::grammar::FuzzLimits();
    options.lenient = (choice & 0x100) != 0;
    options.default_draft = (choice & 0x200) != 0 ? 7 : 2020;
    if (choice & 0x400) options.property_order = retort::JsonSchemaOptions::PropertyOrder::kAny;
    return retort::CompileJsonSchema(text, options);
  });
}
