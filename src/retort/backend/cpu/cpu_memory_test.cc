#include "retort/backend/cpu/cpu_memory.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "retort/base/error.h"

namespace retort::cpu {
namespace {

TEST(CpuMemory, WhatIsPromisedIsNotFree) {
  constexpr size_t kBytes = size_t{64} << 20;
  const HostMemory before = UnpromisedMemory();
  ASSERT_GT(before.free_bytes, kBytes);
  {
    const MemoryPromise all(before.total_bytes);
    EXPECT_EQ(UnpromisedMemory().free_bytes, 0u);
    EXPECT_EQ(UnpromisedMemory().total_bytes, before.total_bytes);
    try {
      const AlignedBytes more(kBytes);
      ADD_FAILURE() << "allocated";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kExhausted);
    }
  }
  const AlignedBytes some(kBytes);
  EXPECT_EQ(some.size(), kBytes);
}

TEST(CpuMemory, APromiseMovesAndEnds) {
  const size_t total = UnpromisedMemory().total_bytes;
  MemoryPromise first(total);
  MemoryPromise second(std::move(first));
  EXPECT_EQ(UnpromisedMemory().free_bytes, 0u);
  second = {};
  EXPECT_GT(UnpromisedMemory().free_bytes, 0u);
}

TEST(CpuMemory, ProvidedPagesKeepTheirBytes) {
  std::vector<std::byte> bytes(100000, std::byte{7});
  const std::vector<std::byte> before = bytes;
  ProvidePages(static_cast<const std::byte*>(bytes.data()) + 5, bytes.size() - 5);
  ProvidePages(bytes.data() + 1, bytes.size() / 2);
  ProvidePages(static_cast<const std::byte*>(nullptr), 0);
  EXPECT_EQ(bytes, before);
}

}  // namespace
}  // namespace retort::cpu
