#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "retort/base/error.h"
#include "retort/chat/chat_template.h"
#include "retort/llm/request.h"
#include "retort/tokenizer/tokenizer.h"

namespace retort {

class Checkpoint;

// Prompts and continuations as a model's token ids. Immutable, thread-safe.
class PromptEncoder {
 public:
  struct Encoded {
    std::vector<int32_t> token_ids;
    bool answer_is_a_text = false;  // what follows is a text of its own, not the rest of this one
  };

  // Reads the checkpoint's tokenizer, and its chat template if it has one. Throws as the former.
  PromptEncoder(const Checkpoint& checkpoint, int64_t vocab_size);

  const std::shared_ptr<const Tokenizer>& tokenizer() const { return tokenizer_; }

  // Chat messages through the template; spans with what the tokenizer puts before a raw text, and,
  // for an embedding, after it; ids as they are. Throws Error{kInvalid} for what cannot be
  // rendered, ids outside the vocabulary, or a prompt without tokens; {kUnsupported} for messages
  // to a model without a template.
  Encoded Encode(const Request& request) const;

  // A text that follows other text: without the space some tokenizers put at the front.
  std::vector<int32_t> EncodeContinuation(std::string_view text) const;

 private:
  std::vector<Span> Render(const ChatPrompt& prompt, const std::stop_token& stop) const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_template_;
  std::optional<Error> no_template_;  // why there is none
  int64_t vocab_size_;
};

}  // namespace retort
