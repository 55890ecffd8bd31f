#include <gtest/gtest.h>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/tokenizer/load_tokenizer.h"
#include "tests/golden/golden_fixture.h"

// A whole small language model, end to end: text from nothing, byte for byte.
namespace retort::golden {
namespace {

class StoriesGolden : public GoldenTest {};

TEST_P(StoriesGolden, GreedyTextIsByteIdentical) {
  constexpr int kNewTokens = 200;
  const auto models = SharedData() / "models";
  const std::string expected =
      ReadFile(models / "stories260K" / "stories260K.greedy200.expected.txt", 1 << 16);
  const auto checkpoint = Checkpoint::Open(models / "stories260K-hf");
  const auto tokenizer =
      LoadTokenizerJson(checkpoint->TextFile("tokenizer.json").value(), "tokenizer.json",
                        checkpoint->TextFile("tokenizer_config.json").value_or(""));
  const auto decoder = Decoder::Load(checkpoint, *device_, Compute::kExact);
  GoldenRunner runner(*device_, *decoder, Format::kF32, kNewTokens + 1);
  std::vector<int32_t> ids = {decoder->spec().bos_token_id};
  std::vector<float> logits = runner.Prefill(ids, 1).logits;
  for (int i = 0; i < kNewTokens; ++i) {
    if (i > 0) logits = runner.Decode(ids.back());
    ids.push_back(ArgMax(logits));
  }
  EXPECT_EQ(tokenizer->Decode(ids, /*skip_special=*/true), expected);
}

RETORT_INSTANTIATE_GOLDEN(StoriesGolden);

}  // namespace
}  // namespace retort::golden
