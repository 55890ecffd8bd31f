// Lark grammars, also as the body of a tag.
#include <cstddef>
#include <cstdint>

#include "retort/grammar/fuzz_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  return retort::grammar::FuzzWalk(text, [&](uint32_t choice) {
    retort::JsonSchemaOptions json;
    json.limits = retort::grammar::FuzzLimits();
    auto grammar = retort::CompileLark(text, json);
    if (choice & 0x100) return grammar;
    retort::TagOptions options;
    options.limits = json.limits;
    options.least = 1;
    return retort::CompileTags({{"{", "{", std::move(grammar), "}}"}}, options);
  });
}
