#include "retort/devices/devices.h"

#include <gtest/gtest.h>

#include "retort/base/error.h"

namespace retort {
namespace {

TEST(Devices, EveryNameOpensAndTellsItsMemory) {
  const auto names = DeviceNames();
  const auto listings = ListDevices();
  ASSERT_EQ(listings.size(), names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(listings[i].info.name, names[i]);
    EXPECT_FALSE(listings[i].info.dispatch_level.empty());
    EXPECT_GT(listings[i].memory.total_bytes, 0u);
    EXPECT_LE(listings[i].memory.free_bytes, listings[i].memory.total_bytes);
  }
}

TEST(Devices, EveryLevelOpensOrSaysWhyNot) {
  for (const std::string& name : DeviceNames()) {
    for (const DispatchLevel& level : DispatchLevels(name)) {
      const DeviceOptions options{.num_threads = 1, .dispatch_level = level.name};
      if (level.missing.empty()) {
        EXPECT_NE(OpenDevice(name, options), nullptr);
      } else {
        EXPECT_THROW(OpenDevice(name, options), Error) << level.name;
      }
    }
  }
}

TEST(Devices, UnknownNamesAndLevelsAreRefused) {
  try {
    OpenDevice("gpu");
    FAIL() << "opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(error.message().find("ref"), std::string::npos);
  }
  EXPECT_THROW(OpenDevice("ref", {.num_threads = 1, .dispatch_level = "warp"}), Error);
  EXPECT_THROW(OpenDevice("ref", {.num_threads = -1, .dispatch_level = {}}), Error);
}

}  // namespace
}  // namespace retort
