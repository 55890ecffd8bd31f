#include "retort/tokenizer/work_budget.h"

#include "retort/base/error.h"

namespace retort {

WorkBudget::WorkBudget(size_t num_bytes, std::string_view place)
    : num_bytes_(num_bytes),
      place_(place),
      bytes_left_(kStageBytesPerByteMax * num_bytes + kStageBytesSlack),
      looks_left_(kSearchLooksPerByteMax * num_bytes + kSearchLooksSlack) {}

void WorkBudget::FailBytes() const {
  Throw(ErrorCode::kExhausted,
        "{}: the stages of the tokenizer write more than {} bytes for each of a text's {}", place_,
        kStageBytesPerByteMax, num_bytes_);
}

void WorkBudget::FailLooks() const {
  Throw(ErrorCode::kExhausted,
        "{}: the tokenizer looks at a text of {} bytes more often than {} times a byte", place_,
        num_bytes_, kSearchLooksPerByteMax);
}

}  // namespace retort
