#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "retort/tokenizer/regex.h"

namespace retort {

// What is done to text before it is split into words. Stages in order; each takes and leaves valid
// UTF-8. Immutable, thread-safe.
class Normalizer {
 public:
  enum class Form { kNfc, kNfd, kNfkc, kNfkd };
  struct Unicode {
    Form form;
  };
  struct Lowercase {};
  struct StripAccents {};  // leaves out nonspacing marks
  struct Strip {
    bool left;
    bool right;
  };
  struct Prepend {  // nothing is put before an empty text
    std::string text;
  };
  struct ReplaceText {
    std::string from;
    std::string to;
  };
  struct ReplaceMatches {
    Regex from;
    std::string to;
  };
  using Stage =
      std::variant<Unicode, Lowercase, StripAccents, Strip, Prepend, ReplaceText, ReplaceMatches>;

  // `where` names the stage in messages.
  void Add(Stage stage, std::string where) {
    stages_.push_back({std::move(stage), std::move(where)});
  }
  bool empty() const { return stages_.empty(); }
  size_t size() const { return stages_.size(); }
  // Throws Error{kExhausted} if the stages write more than `budget` allows.
  void Apply(std::string* text, WorkBudget* budget) const;

 private:
  struct Entry {
    Stage stage;
    std::string where;
  };
  std::vector<Entry> stages_;
};

// `text` with every `from` (not empty) made `to`. O(|text| + |from| + |result|).
std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to,
                       WorkBudget* budget);

}  // namespace retort
