#include "retort/tokenizer/ranks.h"

#include <algorithm>
#include <numeric>

#include "retort/tokenizer/normalizer.h"

namespace retort {

std::vector<uint32_t> RanksFromScores(std::span<const float> scores) {
  std::vector<uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
  std::vector<uint32_t> ranks(scores.size());
  uint32_t rank = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && scores[order[i]] != scores[order[i - 1]]) ++rank;
    ranks[order[i]] = rank;
  }
  return ranks;
}

std::string SentencePieceBytes(std::string_view text, VocabularyBuilder::Kind kind) {
  using Kind = VocabularyBuilder::Kind;
  if (kind == Kind::kByte) {
    if (const auto byte = ByteOfFallbackToken(text))
      return std::string(1, static_cast<char>(*byte));
  }
  if (kind == Kind::kNormal) return ReplaceAll(text, "\xE2\x96\x81", " ");
  return std::string(text);
}

}  // namespace retort
