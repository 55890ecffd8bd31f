#include "retort/engine/text_assembler.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "retort/base/random.h"
#include "retort/tokenizer/load_tokenizer.h"

namespace retort {
namespace {

// Ten tokens over few letters, so that stop strings straddle them; 6 and 7 are halves of "é".
std::shared_ptr<const Tokenizer> FewTokens() {
  return LoadTokenizerJson(R"({
    "added_tokens": [{"id": 9, "content": "<end>", "special": true}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "merges": [], "vocab": {
      "a": 0, "b": 1, "c": 2, "ab": 3, "bca": 4, "Ġ": 5, "Ã": 6, "©": 7, "abcab": 8}}})",
                           "few tokens");
}

TEST(TextAssembler, AgreesWithSearchingTheWholeTextAfterEachToken) {
  const auto tokenizer = FewTokens();
  const std::vector<std::string> candidates = {"bc", "abcab", "\xC3\xA9", "cab a",
                                               "a",  "bb",    "caa",      "\xEF\xBF\xBD"};
  int num_stopped = 0;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    uint64_t draw = 0;
    const auto random = [&](uint64_t n) { return RandomBits(seed, draw++) % n; };
    std::vector<std::string> stops;
    for (uint64_t i = random(4); i > 0; --i) stops.push_back(candidates[random(candidates.size())]);
    TextAssembler assembler(tokenizer, true, stops);
    TokenStream stream(tokenizer, true, true);
    std::string whole;
    std::string streamed;
    bool stopped = false;
    const auto cut = [&] {
      size_t first = std::string::npos;
      for (const std::string& stop : stops) first = std::min(first, whole.find(stop));
      if (first != std::string::npos) whole.resize(first);
      return first != std::string::npos;
    };
    for (uint64_t i = 1 + random(12); i > 0 && !stopped; --i) {
      const auto token = static_cast<int32_t>(random(12));  // 10 and 11 have no text
      if (token < 10) whole += stream.Push(token);
      stopped = cut();
      ASSERT_EQ(assembler.Push(token), stopped);
      streamed += assembler.TakeDelta();
      // What was handed out is never taken back.
      ASSERT_EQ(assembler.text().substr(0, streamed.size()), streamed);
    }
    if (!stopped) {
      whole += stream.Finish();
      stopped = cut();
      ASSERT_EQ(assembler.Finish(), stopped);
      streamed += assembler.TakeDelta();
    }
    ASSERT_EQ(assembler.text(), whole) << "seed " << seed;
    ASSERT_EQ(streamed, whole) << "seed " << seed;
    num_stopped += stopped ? 1 : 0;
  }
  EXPECT_GT(num_stopped, 500);
}

TEST(TextAssembler, HoldsBackOnlyWhatMayStillBecomeAStop) {
  TextAssembler assembler(FewTokens(), true, {"bcc"});
  assembler.Push(3);  // "ab": the b may begin "bcc"
  EXPECT_EQ(assembler.TakeDelta(), "a");
  assembler.Push(2);  // "abc"
  EXPECT_EQ(assembler.TakeDelta(), "");
  assembler.Push(0);  // "abca": no longer
  EXPECT_EQ(assembler.TakeDelta(), "bca");
}

}  // namespace
}  // namespace retort
