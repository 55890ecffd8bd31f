#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "retort/tokenizer/regex.h"

namespace retort {

// Splits normalised text into the words that the model encodes one by one. Immutable, thread-safe.
class PreTokenizer {
 public:
  // What becomes of the matches of a pattern, and of the text between them.
  enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
  enum class Prepend { kAlways, kFirst, kNever };

  struct Split {
    Regex pattern;
    Behavior behavior;
    bool invert;  // the text between the matches is what counts as matched
  };
  struct PrefixSpace {};  // U+0020 before each piece that does not begin with it
  struct Metaspace {      // spaces become `replacement`, one is put in front, words begin with it
    std::string replacement;
    Prepend prepend;
    bool split;
  };
  using Stage = std::variant<Split, PrefixSpace, Metaspace>;

  // Byte offsets [begin, end) of a word.
  using Word = std::pair<size_t, size_t>;

  // `where` names the stage in messages.
  template <typename T>
  void Add(T stage, std::string where) {
    stages_.push_back({Stage(std::in_place_type<T>, std::move(stage)), std::move(where)});
  }
  bool empty() const { return stages_.empty(); }
  size_t size() const { return stages_.size(); }

  // Rewrites `text` where a stage asks for it, and sets `words` to its pieces in order, none empty.
  // `at_start`: the text is the beginning of what is encoded. Throws Error{kExhausted} if the
  // stages write or look more than `budget` allows.
  void Apply(bool at_start, std::string* text, std::vector<Word>* words, WorkBudget* budget) const;

 private:
  struct Entry {
    Stage stage;
    std::string where;
  };
  std::vector<Entry> stages_;
};

// The patterns that files name rather than spell out.
namespace patterns {
extern const std::string_view kGpt2;
extern const std::string_view kPunctuation;
extern const std::string_view kWordsOrSigns;
}  // namespace patterns

// The stages behind a GGUF `tokenizer.ggml.pre`, and what else that name means.
struct NamedPreTokenizer {
  std::vector<std::string_view> patterns;  // each isolated in turn
  bool whole_word_first = false;           // a word that is a token is not merged
  bool adds_bos = false;                   // where the file does not say
};

// Throws Error{kUnsupported} for a name that is not known, with the nearest one.
NamedPreTokenizer PreTokenizerNamed(std::string_view name, std::string_view origin);

}  // namespace retort
