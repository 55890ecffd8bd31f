#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "retort/tokenizer/token_stream.h"

namespace retort {

// A completion's text from its tokens: finds the first stop string, wherever token boundaries lie,
// and tells which text can no longer be taken back. Not thread-safe.
class TextAssembler {
 public:
  // `at_start`: see TokenStream.
  TextAssembler(std::shared_ptr<const Tokenizer> tokenizer, bool at_start,
                std::vector<std::string> stops);

  // Whether the text may end at this length. Empty: anywhere.
  using MayEnd = std::function<bool(size_t)>;
  // True if a stop string is complete: the text ends before it, and no more tokens may follow. Of
  // several that appear with one token, the one that begins first counts. One that begins where the
  // text may not end is text like any other.
  bool Push(int32_t token_id, const MayEnd& may_end = {});
  // No more tokens follow: what was held back joins the text. True if that completes a stop string.
  bool Finish(const MayEnd& may_end = {});

  // So far; once Finish was called or Push returned true, the whole.
  const std::string& text() const { return text_; }
  // Text that became certain since the last call: deltas joined are the text.
  std::string TakeDelta();

 private:
  bool Append(std::string_view piece, const MayEnd& may_end);
  size_t HeldBytes() const;

  int32_t vocab_size_;
  TokenStream stream_;
  std::vector<std::string> stops_;
  size_t stop_bytes_max_ = 0;
  std::string text_;
  size_t num_taken_ = 0;
  bool finished_ = false;
};

}  // namespace retort
