#include "retort/backend/cpu/late_huge_pages.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace retort::cpu {
namespace {

using Block = std::shared_ptr<AlignedBytes>;

void Fill(const Block& block, uint8_t seed) {
  auto* bytes = block->As<uint8_t>();
  for (size_t i = 0; i < block->size(); ++i)
    bytes[i] = static_cast<uint8_t>(i * 7 + (i >> 12) + seed);
}

size_t CountWrong(const Block& block, uint8_t seed) {
  const auto* bytes = block->As<uint8_t>();
  size_t wrong = 0;
  for (size_t i = 0; i < block->size(); ++i) {
    wrong += bytes[i] != static_cast<uint8_t>(i * 7 + (i >> 12) + seed);
  }
  return wrong;
}

TEST(LateHugePages, BytesStayWhatTheyWereWhileTheyMove) {
  for (const bool late : {true, false}) {
    LateHugePages memory(late);
    std::vector<Block> blocks;
    for (const size_t bytes : {size_t{5} << 20, kHugePageBytes, size_t{100}, size_t{9999999}}) {
      blocks.push_back(memory.Allocate(bytes));
      ASSERT_EQ(blocks.back()->size(), bytes);
      ProvidePages(blocks.back()->data() + 1, bytes / 2);
      Fill(blocks.back(), static_cast<uint8_t>(blocks.size()));
    }
    memory.Allocate(kHugePageBytes);  // gone before it can move
    memory.Start();
    for (size_t i = 0; i < blocks.size(); ++i) {  // while they move
      EXPECT_EQ(CountWrong(blocks[i], static_cast<uint8_t>(i + 1)), 0u) << i;
      Fill(blocks[i], static_cast<uint8_t>(i + 50));
    }
    memory.Start();  // nothing more
    memory.Wait();
    for (size_t i = 0; i < blocks.size(); ++i) {
      EXPECT_EQ(CountWrong(blocks[i], static_cast<uint8_t>(i + 50)), 0u) << i;
    }
    const Block after = memory.Allocate(3 * kHugePageBytes);
    Fill(after, 9);
    EXPECT_EQ(CountWrong(after, 9), 0u);
  }
}

TEST(LateHugePages, EndsInTheMiddle) {
  LateHugePages memory(true);
  const Block block = memory.Allocate(16 * kHugePageBytes);
  Fill(block, 3);
  memory.Start();
}

TEST(LateHugePages, ProvidesPagesOfWhatIsRead) {
  std::vector<std::byte> bytes(100000);
  const std::vector<std::byte> before = bytes;
  ProvidePages(static_cast<const std::byte*>(bytes.data()) + 5, bytes.size() - 5);
  ProvidePages(static_cast<const std::byte*>(nullptr), 0);
  EXPECT_EQ(bytes, before);
}

}  // namespace
}  // namespace retort::cpu
