#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "retort/tokenizer/work_budget.h"

namespace retort {

// A token that stands in the text as it is, outside the model's merging.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  // only where no letter or digit adjoins it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
  bool normalized = false;   // looked for after normalisation
  bool special = false;
  bool control = false;  // recognised only in text of the template
};

// Finds added tokens in text: leftmost, then longest. Immutable, thread-safe.
class AddedTokenMatcher {
 public:
  using Range = std::pair<size_t, size_t>;  // [begin, end) of bytes

  struct Match {
    int32_t id;
    Range range;  // with the white space taken along
  };

  // Tokens with empty content are left out. Of two with one content the first holds.
  void Add(const AddedToken& token);
  bool empty() const { return tokens_.empty(); }

  // All matches in `text` in order, without overlap. A control token counts only if one of
  // `template_ranges` (ascending, disjoint, joined where they touch) holds all of it.
  // O(|text| · longest token), as far as `budget` allows: else throws Error{kExhausted}.
  std::vector<Match> FindAll(std::string_view text, std::span<const Range> template_ranges,
                             WorkBudget* budget) const;

  uint64_t memory_bytes() const { return nodes_.capacity() * sizeof(Node); }

 private:
  struct Node {
    int32_t token = -1;  // index into tokens_
    int32_t first_child = -1;
    int32_t next_sibling = -1;
    uint8_t byte = 0;
  };
  struct Rules {
    int32_t id;
    bool single_word, lstrip, rstrip, control;
  };
  // Adds the nodes looked at to *num_looks.
  int32_t ChildOf(int32_t node, uint8_t byte, uint64_t* num_looks) const;
  int32_t LongestAt(std::string_view text, size_t at, size_t template_end, size_t* end,
                    WorkBudget* budget) const;

  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::vector<Rules> tokens_;
  std::array<int32_t, 256> first_{};  // node of each first byte; 0: none (the root is no child)
};

}  // namespace retort
