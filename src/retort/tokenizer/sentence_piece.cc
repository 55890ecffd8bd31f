#include "retort/tokenizer/sentence_piece.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "retort/base/error.h"

namespace retort {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

// What a piece adds to the text: its byte, or its text with the mark as a space.
std::string BytesOf(std::string_view text, VocabularyBuilder::Kind kind, WorkBudget* budget) {
  using Kind = VocabularyBuilder::Kind;
  if (kind == Kind::kByte) {
    if (const auto byte = ByteOfFallbackToken(text)) {
      return std::string(1, static_cast<char>(*byte));
    }
  }
  if (kind == Kind::kNormal) return ReplaceAll(text, kSpaceMark, " ", budget);
  return std::string(text);
}

}  // namespace

void AddPiece(int64_t id, std::string_view text, PieceType type, VocabularyBuilder* builder) {
  using Kind = VocabularyBuilder::Kind;
  const bool added =
      type == PieceType::kUnknown || type == PieceType::kControl || type == PieceType::kUserDefined;
  const Kind kind = type == PieceType::kByte              ? Kind::kByte
                    : added || type == PieceType::kUnused ? Kind::kOther
                                                          : Kind::kNormal;
  builder->Add(id, text, kind);
  if (!added || text.empty()) return;
  AddedToken token;
  token.content = text;
  token.special = type != PieceType::kUserDefined;
  builder->AddToken(id, std::move(token));
}

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

void BuildSentencePiece(const VocabularyBuilder& builder, std::span<const float> scores,
                        bool add_space_prefix, TokenizerParts* parts) {
  for (size_t id = 0; id < scores.size(); ++id) {
    if (std::isnan(scores[id])) {
      Throw(ErrorCode::kCorrupt, "{}: the score of token {} is not a number", builder.origin(), id);
    }
  }
  auto model = builder.MakeModel(BpeModel::Unit::kCharacter, BpeModel::MergeBy::kText,
                                 VocabularyBuilder::Spelling::kPlain, 0);
  model->ranks = RanksFromScores(scores);
  model->unk_id = parts->unk_id.value_or(-1);
  model->fuse_unk = true;
  WorkBudget budget(builder.num_bytes(), builder.origin());
  for (size_t i = 0; i < builder.num_ids(); ++i) {
    const auto id = static_cast<int32_t>(i);
    parts->bytes_of_ids.Append(BytesOf(builder.TextOf(id), builder.KindOf(id), &budget));
  }
  if (add_space_prefix)
    parts->normalizer.Add(Normalizer::Prepend{std::string(kSpaceMark)}, builder.origin());
  parts->normalizer.Add(Normalizer::ReplaceText{" ", std::string(kSpaceMark)}, builder.origin());
  parts->num_leading_spaces_stripped = add_space_prefix ? 1 : 0;
  parts->model = std::move(model);
}

}  // namespace retort
