#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "retort/tokenizer/vocabulary_builder.h"

namespace retort {

// Merge ranks by id from SentencePiece scores (none NaN): the higher the score, the lower the rank;
// equal scores have equal ranks, so that the leftmost pair merges first. O(n log n).
std::vector<uint32_t> RanksFromScores(std::span<const float> scores);

// What a SentencePiece token adds to the text: its byte, or its text with U+2581 as a space.
std::string SentencePieceBytes(std::string_view text, VocabularyBuilder::Kind kind);

}  // namespace retort
