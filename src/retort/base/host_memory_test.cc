#include "retort/base/host_memory.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "retort/base/scratch_folder_test.h"

namespace retort {
namespace {

class HostMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    Write("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 10 kB\nMemAvailable:    800 kB\n");
  }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  const ScratchFolder scratch_;
  const std::filesystem::path root_ = scratch_.path();
};

TEST_F(HostMemoryTest, IsTheMachinesWithoutCgroup) {
  const HostMemory memory = ReadHostMemory(root_);
  EXPECT_EQ(memory.total_bytes, 1000u * 1024);
  EXPECT_EQ(memory.free_bytes, 800u * 1024);
}

TEST_F(HostMemoryTest, CgroupVersion2LimitsAndItsCacheIsFree) {
  Write("proc/self/cgroup", "0::/job/part\n");
  Write("sys/fs/cgroup/job/memory.max", "500000\n");
  Write("sys/fs/cgroup/job/memory.current", "300000\n");
  Write("sys/fs/cgroup/job/memory.stat", "anon 5\ninactive_file 100000\n");
  Write("sys/fs/cgroup/job/part/memory.max", "max\n");
  Write("sys/fs/cgroup/job/part/memory.current", "300000\n");
  const HostMemory memory = ReadHostMemory(root_);
  EXPECT_EQ(memory.total_bytes, 500000u);
  EXPECT_EQ(memory.free_bytes, 300000u);
}

TEST_F(HostMemoryTest, CgroupVersion1AndAPathOfTheHost) {
  Write("proc/self/cgroup", "5:cpu:/x\n9:memory:/docker/not-mounted-here\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "600000\n");
  Write("sys/fs/cgroup/memory/memory.usage_in_bytes", "700000\n");
  const HostMemory memory = ReadHostMemory(root_);
  EXPECT_EQ(memory.total_bytes, 600000u);
  EXPECT_EQ(memory.free_bytes, 0u);
}

TEST_F(HostMemoryTest, GarbageLimitsNothing) {
  Write("proc/self/cgroup", "nonsense\n0::/../../etc\n:\n");
  Write("sys/fs/cgroup/memory.max", "99999999999999999999999999\n");
  Write("sys/fs/cgroup/memory.current", "-1\n");
  const HostMemory memory = ReadHostMemory(root_);
  EXPECT_EQ(memory.total_bytes, 1000u * 1024);
  EXPECT_EQ(memory.free_bytes, 800u * 1024);
}

TEST(HostMemory, OfThisMachineIsSane) {
  const HostMemory memory = ReadHostMemory();
  EXPECT_GT(memory.total_bytes, 0u);
  EXPECT_LE(memory.free_bytes, memory.total_bytes);
}

}  // namespace
}  // namespace retort
