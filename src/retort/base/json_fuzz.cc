// Any text: what ParseJson reads is what nlohmann's parser alone makes of it.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "retort/base/error.h"
#include "retort/base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const retort::Json parsed = retort::ParseJson(text, "fuzz");
    const retort::Json expected = retort::Json::parse(text);
    if (parsed != expected || retort::DumpJson(parsed) != retort::DumpJson(expected)) {
      __builtin_trap();
    }
  } catch (const retort::Error&) {
  }
  return 0;
}
