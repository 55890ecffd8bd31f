#include <CLI/CLI.hpp>

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "retort/base/json.h"
#include "retort/base/shared_data_test.h"
#include "retort/cli/command_list.h"

namespace retort {
namespace {

std::filesystem::path Stories() { return SharedData() / "models" / "stories260K-hf"; }

// Not how fast, but that what was asked is what was measured.
TEST(BenchCommand, ReportsWhatWasAsked) {
  if (!std::filesystem::exists(Stories())) GTEST_SKIP() << Stories() << " is not there";
  CLI::App app;
  const auto run = AddBenchCommand(app);
  app.parse(
      Stories().string() +
          " --json --batches 1,3 --prompt 40 --tokens 5 --depth 100 --repeat 2 --kv-cache 4MiB",
      false);
  testing::internal::CaptureStdout();
  EXPECT_EQ(run(), 0);
  const Json report = ParseJson(testing::internal::GetCapturedStdout(), "report");
  EXPECT_GT(report["load_to_first_token_s"].get<double>(), report["load_s"].get<double>());
  EXPECT_GT(report["weight_bytes"].get<uint64_t>(), 0u);
  const Json& measurements = report["measurements"];
  ASSERT_EQ(measurements.size(), 5u);
  const auto expect = [&](size_t i, const char* what, int batch, int context, int tokens) {
    const Json& m = measurements[i];
    EXPECT_EQ(m["what"], what) << i;
    EXPECT_EQ(m["batch"], batch) << i;
    EXPECT_EQ(m["context_tokens"], context) << i;
    EXPECT_EQ(m["tokens"], tokens) << i;
    EXPECT_NEAR(m["tokens_per_s"].get<double>() * m["seconds"].get<double>(), tokens,
                1e-6 * tokens);
    EXPECT_EQ(m["first_token_s"].get<double>() > 0, std::string(what) == "decode") << i;
  };
  expect(0, "prefill", 1, 0, 40);
  expect(1, "decode", 1, 16, 5);
  expect(2, "decode", 3, 16, 15);
  expect(3, "prefill", 1, 0, 100);
  expect(4, "decode", 1, 100, 5);
}

}  // namespace
}  // namespace retort
