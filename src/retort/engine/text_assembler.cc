#include "retort/engine/text_assembler.h"

#include <algorithm>
#include <utility>

namespace retort {

TextAssembler::TextAssembler(std::shared_ptr<const Tokenizer> tokenizer, bool at_start,
                             std::vector<std::string> stops)
    : vocab_size_(tokenizer->vocab_size()),
      stream_(std::move(tokenizer), /*skip_special=*/true, at_start),
      stops_(std::move(stops)) {
  for (const std::string& stop : stops_) stop_bytes_max_ = std::max(stop_bytes_max_, stop.size());
}

bool TextAssembler::Push(int32_t token_id, const MayEnd& may_end) {
  // Models have more logits than their tokenizer has tokens, to fill a multiple: those have no
  // text.
  if (token_id >= vocab_size_) return false;
  return Append(stream_.Push(token_id), may_end);
}

bool TextAssembler::Finish(const MayEnd& may_end) {
  const bool stopped = Append(stream_.Finish(), may_end);
  finished_ = true;
  return stopped;
}

bool TextAssembler::Append(std::string_view piece, const MayEnd& may_end) {
  const size_t old_size = text_.size();
  text_ += piece;
  // A stop string that ends in the new piece begins at most its length before it.
  size_t from = old_size - std::min(old_size, stop_bytes_max_);
  while (true) {
    size_t first = std::string::npos;
    for (const std::string& stop : stops_) first = std::min(first, text_.find(stop, from));
    if (first == std::string::npos) return false;
    if (!may_end || may_end(first)) {
      text_.resize(first);
      finished_ = true;
      return true;
    }
    from = first + 1;
  }
}

// Bytes at the end of the text that may be the beginning of a stop string.
size_t TextAssembler::HeldBytes() const {
  if (finished_) return 0;
  size_t held = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, text_.size()); n > held; --n) {
      if (text_.compare(text_.size() - n, n, stop, 0, n) == 0) held = n;
    }
  }
  return held;
}

std::string TextAssembler::TakeDelta() {
  const size_t end = text_.size() - HeldBytes();
  if (end <= num_taken_) return {};
  return text_.substr(std::exchange(num_taken_, end), end - num_taken_);
}

}  // namespace retort
