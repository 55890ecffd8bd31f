#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "retort/base/disk_events_test.h"
#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/scratch_folder_test.h"

namespace retort {
namespace {

class FileDurability : public testing::Test {
 protected:
  FileDurability() {
    folder_ = scratch_.path();
    DiskEvents::Take();
  }

  const ScratchFolder scratch_;
  std::filesystem::path folder_;
};

TEST_F(FileDurability, AWholeFileIsOnTheDiskBeforeItHasItsName) {
  WriteFileAtomically(folder_ / "run.json", "{}");
  const std::string temporary = "run.json.tmp-" + std::to_string(::getpid());
  const std::vector<std::string> events = DiskEvents::Take();
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(events[0], "sync " + temporary);
  EXPECT_EQ(events[1], "rename " + temporary);
}

TEST_F(FileDurability, AFailureLeavesNothing) {
  std::filesystem::create_directories(folder_ / "taken" / "inside");
  EXPECT_THROW(WriteFileAtomically(folder_ / "taken", "{}"), Error);
  size_t num_entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) {
    ++num_entries;
  }
  EXPECT_EQ(num_entries, 1u);
}

// As docs/EXIT_STATUS.md tells those who write scripts.
TEST(Error, EveryCodeHasItsExitStatus) {
  const std::pair<ErrorCode, int> table[] = {
      {ErrorCode::kInvalid, 2},     {ErrorCode::kNotFound, 2}, {ErrorCode::kUnsupported, 2},
      {ErrorCode::kExhausted, 4},   {ErrorCode::kCorrupt, 2},  {ErrorCode::kIo, 5},
      {ErrorCode::kCancelled, 130}, {ErrorCode::kDeadline, 4}, {ErrorCode::kUnavailable, 4},
      {ErrorCode::kInternal, 70}};
  EXPECT_EQ(std::size(table), static_cast<size_t>(kNumErrorCodes));
  for (const auto& [code, status] : table) EXPECT_EQ(ExitStatus(code), status);
}

}  // namespace
}  // namespace retort
