#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "retort/grammar/grammar.h"

namespace retort {

// What a grammar was compiled to.
struct GrammarSize {
  size_t num_values = 0;  // JSON values that differ in what they allow
  size_t num_objects = 0;
  size_t num_arrays = 0;
  size_t num_rules = 0;      // of a context-free grammar
  size_t num_languages = 0;  // regular expressions and their derivatives so far
  uint64_t bytes = 0;
};
GrammarSize SizeOf(const Grammar& grammar);

// Whether a text is in a grammar's language, and if not, how far it is.
struct TextVerdict {
  bool accepted = false;
  // Bytes of the text with which some text of the language begins.
  size_t num_read = 0;
  // What may follow them: "'a' to 'z', '\"' or the end".
  std::string expected;
  size_t num_lexer_states = 0;
};

// Reads `text` byte by byte, without a tokenizer. Throws Error{kExhausted} at the grammar's limits.
TextVerdict CheckText(const Grammar& grammar, std::string_view text);

}  // namespace retort
