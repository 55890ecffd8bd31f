#include "retort/tokenizer/token_stream.h"

#include <utility>

#include "retort/tokenizer/utf8.h"

namespace retort {

TokenStream::TokenStream(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special,
                         bool at_start)
    : tokenizer_(std::move(tokenizer)),
      skip_special_(skip_special),
      num_spaces_to_strip_(at_start ? tokenizer_->num_leading_spaces_stripped() : 0) {}

std::string TokenStream::Push(int32_t id) {
  std::string_view bytes = tokenizer_->TokenBytes(id);
  if (skip_special_ && tokenizer_->IsSpecial(id)) return {};
  while (num_spaces_to_strip_ > 0 && !bytes.empty()) {
    if (bytes.front() != ' ') {
      num_spaces_to_strip_ = 0;
      break;
    }
    bytes.remove_prefix(1);
    --num_spaces_to_strip_;
  }
  held_.append(bytes);
  // Find the end of what is certain: at most the last three bytes can be an unfinished character.
  size_t certain = held_.size();
  for (size_t back = 1; back <= 3 && back <= held_.size(); ++back) {
    const auto byte = static_cast<uint8_t>(held_[held_.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    const std::string_view tail = std::string_view(held_).substr(held_.size() - back);
    if (NextUtf8(tail).kind == Utf8Step::Kind::kIncomplete) certain = held_.size() - back;
    break;
  }
  std::string delta = ReplaceInvalidUtf8(std::string_view(held_).substr(0, certain));
  held_.erase(0, certain);
  return delta;
}

std::string TokenStream::Finish() {
  std::string delta = ReplaceInvalidUtf8(held_);
  held_.clear();
  return delta;
}

}  // namespace retort
