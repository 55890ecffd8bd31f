// tokenizer.json from anywhere: it loads or is refused with an Error, and what loads encodes and
// decodes any text, all in bounded time and memory. The input is the file; the text is what follows
// a zero byte, else the file's first bytes. It is repeated, so that work beyond linear shows.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include "retort/base/error.h"
#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/token_stream.h"

namespace {

constexpr size_t kTextBytesMax = 256;
constexpr size_t kTextTimes = 64;
// Of the processor, for one input: what WorkBudget's slack takes, in a build with sanitizers.
constexpr double kSecondsMax = 10;

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void LoadAndEncode(std::string_view file, std::string_view text) {
  const auto tokenizer = retort::LoadTokenizerJson(file, "fuzz");
  for (const bool parse_special : {false, true}) {
    const auto ids = tokenizer->Encode(text, parse_special);
    const std::string decoded = tokenizer->Decode(ids, false);
    retort::TokenStream stream(tokenizer, false, true);
    std::string streamed;
    for (int32_t id : ids) {
      if (!parse_special && id != tokenizer->unk_id() && tokenizer->IsControl(id)) std::abort();
      streamed += stream.Push(id);
    }
    if (streamed + stream.Finish() != decoded) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  const std::string_view file = input.substr(0, zero);
  const std::string_view once =
      (zero == std::string_view::npos ? input : input.substr(zero + 1)).substr(0, kTextBytesMax);
  std::string text;
  for (size_t i = 0; i < kTextTimes; ++i) text += once;
  const double begin = CpuSeconds();
  try {
    LoadAndEncode(file, text);
  } catch (const retort::Error& error) {
    if (error.code() == retort::ErrorCode::kInternal) std::abort();
  }
  if (const double seconds = CpuSeconds() - begin; seconds > kSecondsMax) {
    std::fprintf(stderr, "%.1f s\n", seconds);
    std::abort();
  }
  return 0;
}
