#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "retort/tokenizer/tokenizer.h"

namespace retort {

// Ids in, text out as soon as it is certain. The deltas, Finish() included, joined are
// Tokenizer::Decode of all ids. Holds back at most 3 bytes (the start of a character). Not
// thread-safe; cheap to copy.
class TokenStream {
 public:
  // `at_start`: the text begins here, so the tokenizer's own leading space is taken off; false when
  // it goes on after other text.
  TokenStream(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special, bool at_start);

  // The text that became certain with this token; always valid UTF-8. An invalid sequence is
  // replaced by U+FFFD once it cannot become valid any more.
  std::string Push(int32_t id);

  // The end: what was held back, as U+FFFD. The stream then starts anew after the same text.
  std::string Finish();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_;
  int num_spaces_to_strip_;
  std::string held_;
};

}  // namespace retort
