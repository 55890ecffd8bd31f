#pragma once

namespace retort {

// What a person should know of a row's answers although the row did not fail. Kept with the row's
// outputs, so that a row from the ledger counts as it did when it was made.
struct AnswerMarks {
  bool cut = false;      // one ended at max_new_tokens or the context's end, not by the model
  bool missing = false;  // one of several is empty, or not what structured_output asks for

  bool operator==(const AnswerMarks&) const = default;
};

}  // namespace retort
