#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retort {

struct TokenizerParts;

// A stretch of a prompt. Only text of the template may become control tokens; content never does.
struct TextPiece {
  std::string_view text;
  bool is_template = false;
};

// Text ↔ token ids. Immutable and thread-safe: share it as std::shared_ptr<const Tokenizer>.
//
// Words used here:
//   special  marked so by the file (GGUF: control or unknown); leaves no text when decoded.
//   control  special, or a begin/end/pad token, or an added token spelt like markup ("<think>"):
//            recognised only where the template wrote it.
// Added tokens that are neither (runs of spaces, say) are recognised everywhere.
//
// Text that is not UTF-8 has each invalid sequence replaced by U+FFFD before it is encoded.
class Tokenizer {
 public:
  explicit Tokenizer(TokenizerParts parts);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Ids of `text`, without the begin and end tokens that the model may want around it (see
  // prefix_ids). With `parse_special`, control tokens written in it are recognised; else they are
  // ordinary text. O(n log n). Throws Error{kExhausted} if the file's own stages and patterns go
  // beyond the bounds of a WorkBudget on this text.
  std::vector<int32_t> Encode(std::string_view text, bool parse_special) const;

  // As if the pieces were one text, so that a word may span two of them, but a control token is
  // recognised only where each of its bytes is of the template.
  std::vector<int32_t> Encode(std::span<const TextPiece> pieces) const;

  // Text of the ids: their bytes joined, the space that the tokenizer puts before the first word
  // taken off again, every invalid UTF-8 sequence U+FFFD. Throws Error{kInvalid} on an id outside
  // the vocabulary.
  std::string Decode(std::span<const int32_t> ids, bool skip_special) const;

  // What token `id` adds to the text when it is not the first: raw bytes, which need not be whole
  // characters. For a special token its name, e.g. "<|im_end|>"; empty for an id that the
  // vocabulary leaves out. Valid as long as the tokenizer. Throws Error{kInvalid} on an id outside.
  std::string_view TokenBytes(int32_t id) const;

  // Ids are [0, vocab_size).
  int32_t vocab_size() const;
  bool IsSpecial(int32_t id) const;
  bool IsControl(int32_t id) const;

  // The added token written exactly so, else the token with exactly these bytes.
  std::optional<int32_t> IdOf(std::string_view text) const;

  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> unk_id() const;
  std::optional<int32_t> pad_id() const;

  // Tokens that end an answer, ascending: eos, and the control tokens known to end a turn
  // ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", ...).
  std::span<const int32_t> end_ids() const;

  // What belongs around a raw text (not around a rendered chat template, which brings its own):
  // usually {bos} or nothing, and nothing.
  std::span<const int32_t> prefix_ids() const;
  std::span<const int32_t> suffix_ids() const;
  bool AddsBos() const;
  bool AddsEos() const;

  // How many spaces are taken off the front of a whole text when it is decoded (0, or 1 where the
  // tokenizer puts one there).
  int num_leading_spaces_stripped() const;

  // Heap held, for the ledger of memory.
  uint64_t memory_bytes() const;

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace retort
