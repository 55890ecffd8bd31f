#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <iostream>

#include "tests/golden/golden_fixture.h"

// Llama checkpoints against another implementation's float64 answers. The folders are listed when a
// test runs. docs/golden_tolerances.md derives every bound.
namespace retort::golden {
namespace {

constexpr int kWhole = GoldenRunner::kTokensMax;
constexpr int kChunk = 16;  // half a page

// Tokens of the longest text of a case.
int ContextOf(const GoldenCase& golden) {
  size_t num_tokens = 0;
  for (const GoldenPrompt& prompt : golden.prompts) {
    num_tokens = std::max(num_tokens, prompt.ids.size() + prompt.greedy_ids.size());
  }
  return static_cast<int>(num_tokens);
}

// The largest error as a share of its bound, and whose it is.
class Worst {
 public:
  void Add(double share, const GoldenCase& golden, const GoldenPrompt& prompt) {
    if (share <= share_) return;
    share_ = share;
    where_ = fmt::format("{}, {} tokens", golden.name, prompt.ids.size());
  }
  void Report() const {
    std::cout << fmt::format("largest error: {:.2f} of its bound, in {}\n", share_, where_);
  }

 private:
  double share_ = 0.0;
  std::string where_ = "none";
};

class LlamaGolden : public GoldenTest {
 protected:
  std::vector<GoldenCase> Hf() const {
    auto cases = HfCases(SharedData() / "goldens" / "hf", "LlamaForCausalLM");
    EXPECT_FALSE(cases.empty()) << "goldens/hf has no LlamaForCausalLM";
    return cases;
  }
  std::vector<GoldenCase> Gguf() const {
    auto cases = GgufCases(SharedData() / "goldens" / "gguf", "llama",
                           {Format::kF32, Format::kF16, Format::kBF16, Format::kQ8_0, Format::kQ4_0,
                            Format::kQ4_1, Format::kQ6_K});
    EXPECT_FALSE(cases.empty()) << "goldens/gguf has no llama of the known formats";
    return cases;
  }

  void JudgeExactly(const std::vector<GoldenCase>& cases);
  void JudgeDefault(const std::vector<GoldenCase>& cases,
                    const std::function<double(const GoldenPrompt&)>& mean_bound);
  void JudgeGreedy(GoldenRunner& runner, const Decoder& decoder, const GoldenPrompt& prompt,
                   double bound);
};

// Continues by the reference's own tokens, so that one that may differ does not hide the rest.
void LlamaGolden::JudgeGreedy(GoldenRunner& runner, const Decoder& decoder,
                              const GoldenPrompt& prompt, double bound) {
  std::vector<int32_t> ids = prompt.ids;
  for (size_t step = 0; step < prompt.greedy_ids.size(); ++step) {
    const auto num_tokens = static_cast<int64_t>(ids.size());
    std::vector<float> logits;
    if (step == 0 || RopeDomain(decoder.spec().rope, num_tokens) != 0) {
      // The reference evaluates the whole text anew for each token. With dynamic RoPE that turns
      // every key for the new length, which a cache of rotated keys does not: feed it as a prompt.
      logits = runner.Prefill(ids, kWhole).logits;
      logits.erase(logits.begin(), logits.end() - decoder.spec().vocab_size);
    } else {
      logits = runner.Decode(ids.back());
    }
    if (prompt.greedy_margin[step] > bound) {
      EXPECT_EQ(ArgMax(logits), prompt.greedy_ids[step])
          << "greedy token " << step << ", margin " << prompt.greedy_margin[step];
    }
    ids.push_back(prompt.greedy_ids[step]);
  }
}

void LlamaGolden::JudgeExactly(const std::vector<GoldenCase>& cases) {
  Worst worst;
  for (const GoldenCase& golden : cases) {
    SCOPED_TRACE(golden.name);
    const auto decoder =
        Decoder::Load(Checkpoint::Open(golden.checkpoint), *device_, Compute::kExact);
    GoldenRunner runner(*device_, *decoder, Format::kF32, ContextOf(golden));
    for (const GoldenPrompt& prompt : golden.prompts) {
      SCOPED_TRACE(fmt::format("prompt of {} tokens", prompt.ids.size()));
      const double bound = ExactBound(prompt, decoder->spec().num_layers);
      const PromptResult result = runner.Prefill(prompt.ids, kWhole, !prompt.hidden.empty());
      const Difference logits = Compare(result.logits, prompt.logits);
      EXPECT_LE(logits.max_abs, bound);
      worst.Add(logits.max_abs / bound, golden, prompt);
      for (size_t j = 0; j < prompt.hidden.size(); ++j) {
        const double share = Deviation(prompt.hidden[j]) / Deviation(prompt.logits);
        EXPECT_LE(Compare(result.layers.at(j), prompt.hidden[j]).max_abs, bound * share)
            << "hidden state " << j << " (0: embedding, then each layer)";
      }
      JudgeGreedy(runner, *decoder, prompt, bound);
    }
  }
  worst.Report();
}

void LlamaGolden::JudgeDefault(const std::vector<GoldenCase>& cases,
                               const std::function<double(const GoldenPrompt&)>& mean_bound) {
  Worst worst;
  for (const GoldenCase& golden : cases) {
    SCOPED_TRACE(golden.name);
    const auto decoder =
        Decoder::Load(Checkpoint::Open(golden.checkpoint), *device_, Compute::kNative);
    GoldenRunner runner(*device_, *decoder, Format::kBF16, ContextOf(golden));
    for (const GoldenPrompt& prompt : golden.prompts) {
      const double bound = mean_bound(prompt);
      const double error =
          Compare(runner.Prefill(prompt.ids, kWhole).logits, prompt.logits).mean_abs;
      EXPECT_LE(error, bound) << "prompt of " << prompt.ids.size() << " tokens";
      worst.Add(error / bound, golden, prompt);
    }
  }
  worst.Report();
}

TEST_P(LlamaGolden, HuggingFaceLogitsInF32) { JudgeExactly(Hf()); }

TEST_P(LlamaGolden, GgufLogitsInF32) { JudgeExactly(Gguf()); }

TEST_P(LlamaGolden, SameBitsHoweverAPromptIsFed) {
  for (const Compute compute : {Compute::kExact, Compute::kNative}) {
    for (const GoldenCase& golden : Hf()) {
      SCOPED_TRACE(golden.name);
      const auto decoder = Decoder::Load(Checkpoint::Open(golden.checkpoint), *device_, compute);
      const Format kv = compute == Compute::kExact ? Format::kF32 : Format::kBF16;
      GoldenRunner runner(*device_, *decoder, kv, ContextOf(golden));
      std::vector<std::vector<int32_t>> prompts;
      std::vector<std::vector<float>> alone;
      size_t num_tokens = 0;
      for (const GoldenPrompt& prompt : golden.prompts) {
        const std::vector<float> whole = runner.Prefill(prompt.ids, kWhole).logits;
        EXPECT_TRUE(runner.Prefill(prompt.ids, kChunk).logits == whole) << "in chunks";
        EXPECT_TRUE(runner.Prefill(prompt.ids, 1).logits == whole) << "token by token";
        num_tokens += prompt.ids.size();
        if (num_tokens > static_cast<size_t>(GoldenRunner::kTokensMax)) continue;
        prompts.push_back(prompt.ids);
        alone.push_back(whole);
      }
      EXPECT_TRUE(runner.PrefillTogether(prompts) == alone) << "in one step with others";
    }
  }
}

TEST_P(LlamaGolden, HuggingFaceLogitsInDefaultCompute) {
  JudgeDefault(Hf(), [](const GoldenPrompt& prompt) { return prompt.bf16_mean_abs; });
}

TEST_P(LlamaGolden, GgufLogitsInDefaultCompute) {
  constexpr double kShareOfDeviation = 0.02;
  JudgeDefault(Gguf(), [](const GoldenPrompt& prompt) {
    return kShareOfDeviation * Deviation(prompt.logits);
  });
}

RETORT_INSTANTIATE_GOLDEN(LlamaGolden);

}  // namespace
}  // namespace retort::golden
