// GBNF grammars.
#include <cstddef>
#include <cstdint>

#include "retort/grammar/fuzz_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  return retort::grammar::FuzzWalk(
      text, [&](uint32_t) { return retort::CompileGbnf(text, retort::grammar::FuzzLimits()); });
}
