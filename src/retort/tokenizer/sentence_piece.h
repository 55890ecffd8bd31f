#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "retort/tokenizer/tokenizer_parts.h"
#include "retort/tokenizer/vocabulary_builder.h"

namespace retort {

// SentencePiece's kinds of pieces, as numbered in its files and in GGUF's token_type.
enum class PieceType {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

// Enters a piece; user-defined, control and unknown ones become added tokens. `text` must live
// until builder->Finish.
void AddPiece(int64_t id, std::string_view text, PieceType type, VocabularyBuilder* builder);

// Merge ranks by id from scores (none NaN): the higher the score, the lower the rank; equal scores
// have equal ranks, so that the leftmost pair merges first. O(n log n).
std::vector<uint32_t> RanksFromScores(std::span<const float> scores);

// Sets the parts' model, bytes and spaces from a finished builder. Throws Error{kCorrupt} if a
// score is not a number.
void BuildSentencePiece(const VocabularyBuilder& builder, std::span<const float> scores,
                        bool add_space_prefix, TokenizerParts* parts);

}  // namespace retort
