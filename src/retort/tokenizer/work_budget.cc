#include "retort/tokenizer/work_budget.h"

#include "retort/base/error.h"

namespace retort {

WorkBudget::WorkBudget(size_t num_bytes, std::string_view place)
    : num_bytes_(num_bytes),
      place_(place),
      bytes_left_(kStageBytesPerByteMax * num_bytes + kStageBytesSlack),
      looks_left_(kSearchLooksPerByteMax * num_bytes + kSearchLooksSlack) {
  BeginStage(place);
}

void WorkBudget::FailBytes() const {
  Throw(
      ErrorCode::kExhausted,
      "{}: the stages of the tokenizer make too much of a text of {} bytes: more than {} bytes of "
      "each in one stage, or {} in all",
      place_, num_bytes_, kOneStageBytesPerByteMax, kStageBytesPerByteMax);
}

void WorkBudget::FailLooks() const {
  Throw(ErrorCode::kExhausted,
        "{}: the tokenizer looks at a text of {} bytes more often than {} times a byte", place_,
        num_bytes_, kSearchLooksPerByteMax);
}

}  // namespace retort
