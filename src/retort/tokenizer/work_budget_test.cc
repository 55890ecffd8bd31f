#include "retort/tokenizer/work_budget.h"

#include <gtest/gtest.h>

#include "retort/base/error.h"

namespace retort {
namespace {

TEST(WorkBudget, HoldsExactlyItsBounds) {
  for (const uint64_t num_bytes : {uint64_t{0}, uint64_t{1}, uint64_t{1000}}) {
    WorkBudget budget(num_bytes, "tokenizer.json");
    budget.Write(num_bytes * kStageBytesPerByteMax);
    budget.Write(kStageBytesSlack);
    EXPECT_THROW(budget.Write(1), Error) << num_bytes;
    budget.Write(0);
    budget.Look(num_bytes * kSearchLooksPerByteMax);
    budget.Look(kSearchLooksSlack);
    EXPECT_THROW(budget.Look(1), Error) << num_bytes;
  }
}

}  // namespace
}  // namespace retort
