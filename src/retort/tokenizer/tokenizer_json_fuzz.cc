// tokenizer.json from anywhere: it loads or is refused with an Error, and what loads encodes and
// decodes any text. The input is the file; its first bytes are also the text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "retort/base/error.h"
#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/token_stream.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view text = input.substr(0, 256);
  try {
    const auto tokenizer = retort::LoadTokenizerJson(input, "fuzz");
    for (const bool parse_special : {false, true}) {
      const auto ids = tokenizer->Encode(text, parse_special);
      const std::string decoded = tokenizer->Decode(ids, false);
      retort::TokenStream stream(tokenizer, false, true);
      std::string streamed;
      for (int32_t id : ids) {
        if (!parse_special && id != tokenizer->unk_id() && tokenizer->IsControl(id))
          __builtin_trap();
        streamed += stream.Push(id);
      }
      if (streamed + stream.Finish() != decoded) __builtin_trap();
    }
  } catch (const retort::Error&) {
  }
  return 0;
}
