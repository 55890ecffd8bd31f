#include "retort/registry/engine_loader.h"

#include <gtest/gtest.h>

#include "retort/base/error.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/base/shared_data_test.h"

namespace retort {
namespace {

TEST(EngineLoader, LoadsAnEngineByPathAndSaysWhatIsMissing) {
  EngineOptions options;
  options.path = SharedData() / "models" / "stories260K-hf";
  if (!std::filesystem::exists(options.path)) GTEST_SKIP() << options.path << " is not there";
  options.kv_bytes = 1 << 20;
  EngineOptions missing = options;
  missing.path = "no-such-model-anywhere";
  const ScratchFolder scratch;
  const auto home = scratch.path() / "no_home";
  const EngineLoader stories = MakeEngineLoader(options, home);
  ModelRegistry registry({{.name = "stories", .load = stories.load, .identify = stories.identify},
                          {.name = "missing", .load = MakeEngineLoader(missing, home).load}});
  Request request;
  request.prompt = std::vector<Span>{{"Once", false}};
  SamplingParams sampling;
  sampling.max_new_tokens = 3;
  request.work = Generation{sampling, nullptr};
  const std::string key = registry.Identify("stories")->RequestKey(request);
  const std::string answers_key = registry.Identify("stories")->description().answers_key;
  EXPECT_EQ(answers_key.size(), 64u);
  EXPECT_EQ(registry.status()[0].num_loads, 0);  // names come without weights
  EXPECT_EQ(registry.Acquire("stories")->RequestKey(request), key);
  EXPECT_EQ(registry.Acquire("stories")->description().answers_key, answers_key);
  EXPECT_EQ(Await(*registry.Acquire("stories"), request).usage.completion_tokens, 3);
  EXPECT_EQ(registry.Acquire("stories")->stats().num_requests, 1u);
  EXPECT_EQ(registry.status()[0].num_loads, 1);
  try {
    registry.Acquire("missing");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

}  // namespace
}  // namespace retort
