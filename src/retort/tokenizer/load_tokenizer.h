#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "retort/base/json.h"
#include "retort/tokenizer/tokenizer.h"

namespace retort {

// Tokenizers from what a checkpoint brings. `origin` names the source in messages. All throw
// Error{kInvalid} or {kCorrupt} on broken input, and {kUnsupported} naming the kind (WordPiece,
// Unigram, a pre-tokenizer by another name) that is valid but not known here.

// Bounds on what a file may declare, each some ten times what the largest published one has. What
// its stages may then cost is bounded by WorkBudget.
inline constexpr int32_t kVocabSizeMax = 1 << 22;
inline constexpr size_t kVocabBytesMax = 256 << 20;  // of all tokens, as spelt and as decoded
inline constexpr size_t kMergesMax = 1 << 22;
inline constexpr size_t kTokenBytesMax = 1 << 16;
inline constexpr size_t kAddedTokenBytesMax = 1024;
inline constexpr size_t kAddedTokensMax = 1 << 18;       // models that speak have 65,536
inline constexpr size_t kAddedTokensBytesMax = 8 << 20;  // of all: finding them takes 16 times this
inline constexpr int kTokenizerStagesMax = 64;  // normalizers, pre-tokenizers or decoders in a row
inline constexpr size_t kPatternsBytesMax = 1 << 16;  // of all patterns of one file
inline constexpr size_t kSurroundTokensMax = 64;      // that are put around a text
// Tables are as long as the largest id: a file must not leave out most of them.
inline constexpr size_t kIdsPerTokenMax = 8;
inline constexpr size_t kFreeIdsMax = 1 << 17;

// Hugging Face tokenizer.json. `config_text` is tokenizer_config.json or empty: it names the bos,
// eos, unk and pad tokens and may override add_bos_token and add_eos_token.
std::shared_ptr<const Tokenizer> LoadTokenizerJson(std::string_view json_text,
                                                   std::string_view origin,
                                                   std::string_view config_text = {});

// GGUF metadata: an object with the keys `tokenizer.ggml.*` as they stand in the file.
std::shared_ptr<const Tokenizer> TokenizerFromGguf(const Json& metadata, std::string_view origin);

// tiktoken ranks: lines of `base64(token) rank`; `pattern` splits the text into words.
std::shared_ptr<const Tokenizer> LoadTiktoken(
    std::string_view ranks_text, std::string_view pattern,
    const std::vector<std::pair<std::string, int32_t>>& special_tokens, std::string_view origin);

// SentencePiece `.model` of kind BPE.
std::shared_ptr<const Tokenizer> LoadSentencePiece(std::string_view model_bytes,
                                                   std::string_view origin);

}  // namespace retort
