#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "retort/tokenizer/added_tokens.h"
#include "retort/tokenizer/bpe.h"
#include "retort/tokenizer/normalizer.h"
#include "retort/tokenizer/pre_tokenizer.h"
#include "retort/tokenizer/vocabulary.h"

namespace retort {

// What a loader hands to Tokenizer. Ids everywhere are within [0, bytes_of_ids.size()).
struct TokenizerParts {
  std::string origin;  // names the tokenizer in messages
  std::unique_ptr<const BpeModel> model;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::vector<AddedToken> added_tokens;
  StringTable bytes_of_ids;   // what each token adds to the text
  std::vector<bool> special;  // by id
  std::optional<int32_t> bos_id, eos_id, unk_id, pad_id;
  std::vector<int32_t> end_ids;  // besides eos and the known names
  std::vector<int32_t> prefix_ids, suffix_ids;
  int num_leading_spaces_stripped = 0;
};

}  // namespace retort
