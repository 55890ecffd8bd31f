#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <memory>

#include "retort/devices/devices.h"
#include "retort/engine/engine_test_models.h"
#include "retort/engine/forwarding_device_test.h"
#include "retort/engine/work.h"

// One sequence of a batch whose numbers go wrong: it fails, and nobody else notices.
namespace retort {
namespace {

constexpr int32_t kBadToken = 77;

// A device on which one token's embedding is no number, while `broken`.
class BrokenTokenDevice : public ForwardingDevice {
 public:
  BrokenTokenDevice(std::unique_ptr<Device> device, std::shared_ptr<std::atomic<bool>> broken)
      : ForwardingDevice(std::move(device)), broken_(std::move(broken)) {}

  void UploadBatch(const BatchPlan& plan, DeviceBatch& batch) override {
    bad_rows_.clear();
    for (size_t i = 0; *broken_ && i < plan.token_ids.size(); ++i) {
      if (plan.token_ids[i] == kBadToken) bad_rows_.push_back(static_cast<int64_t>(i));
    }
    ForwardingDevice::UploadBatch(plan, batch);
  }
  void Embed(const EmbeddingTable& table, const DeviceBatch& batch, float scale,
             const Matrix& out) override {
    ForwardingDevice::Embed(table, batch, scale, out);
    const std::vector<float> nan(static_cast<size_t>(out.cols),
                                 std::numeric_limits<float>::quiet_NaN());
    for (const int64_t row : bad_rows_) Upload(nan, out.Rows(row, row + 1));
  }

 private:
  std::shared_ptr<std::atomic<bool>> broken_;
  std::vector<int64_t> bad_rows_;
};

// Every kind of work on one prompt.
std::vector<Request> AllWork(const std::vector<int32_t>& prompt) {
  SamplingParams sampled;
  sampled.temperature = 0.9f;
  sampled.seed = 5;
  sampled.max_new_tokens = 6;
  sampled.num_top_logprobs = 2;
  std::vector<Request> requests(6);
  for (Request& request : requests) request.prompt = prompt;
  requests[0].work = Generation{Greedy(6), nullptr};
  requests[1].work = Generation{sampled, nullptr};
  requests[2].work = Generation{sampled, RegexConstraint("[a-z ]{3,}")};
  requests[3].work = Scoring{{" the", " was very happy and", "."}};
  requests[4].work = Embedding{PoolingKind::kMean, true};
  requests[5].work = Embedding{PoolingKind::kLastToken, false};
  return requests;
}

std::vector<int32_t> PromptOf(int32_t first, size_t size) {
  std::vector<int32_t> prompt;
  for (size_t i = 0; i < size; ++i) prompt.push_back(first + static_cast<int32_t>(i * 13 % 60));
  return prompt;
}

TEST(EngineNotFinite, FailsAloneWhateverIsAsked) {
  SKIP_WITHOUT(Stories());
  for (const std::string& name : DeviceNames()) {
    EngineOptions options = StoriesOptions();
    options.compute = Compute::kNative;
    const auto broken = std::make_shared<std::atomic<bool>>(true);
    const auto engine =
        Engine::Open(options, std::make_unique<BrokenTokenDevice>(OpenDevice(name), broken));
    const std::vector<Request> good = AllWork(PromptOf(100, 40));
    std::vector<std::string> expected;
    for (const Request& request : good) expected.push_back(Bits(Await(*engine, request)));

    std::vector<int32_t> bad_prompt = PromptOf(200, 70);
    bad_prompt[3] = kBadToken;
    const std::vector<Request> bad = AllWork(bad_prompt);
    std::vector<Request> mixed;
    for (size_t i = 0; i < good.size(); ++i) {
      mixed.push_back(good[i]);
      mixed.push_back(bad[i]);
    }
    const std::vector<Response> answers = Answers(*engine, mixed);
    for (size_t i = 0; i < good.size(); ++i) {
      EXPECT_EQ(Bits(answers[2 * i]), expected[i]) << name << ", work " << i;
      const Response& failed = answers[2 * i + 1];
      EXPECT_EQ(CodeOf(failed), ErrorCode::kCorrupt) << name << ", work " << i;
      EXPECT_THAT(std::get<Error>(failed.result).message(), testing::HasSubstr("for this prompt"));
    }
    // Their keys and values, which are no numbers either, are not found by those who ask again.
    *broken = false;
    for (const Request& request : bad) {
      const Response response = Await(*engine, request);
      EXPECT_TRUE(response.ok()) << name << ": " << Bits(response);
    }
  }
}

// Infinity is as bad, and is not told apart by a square that overflows.
TEST(EmbeddingWork, TakesOnlyFiniteStates) {
  const EmbeddingWork last(Embedding{PoolingKind::kLastToken, false});
  const EmbeddingWork mean(Embedding{PoolingKind::kMean, true});
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    const std::vector<float> state = {1.0f, bad, 2.0f};
    EXPECT_THROW(last.Finish(state, 1), Error) << bad;
    EXPECT_THROW(mean.Finish(state, 3), Error) << bad;
  }
  const std::vector<float> large(64, std::numeric_limits<float>::max());
  EXPECT_EQ(last.Finish(large, 1).values, large);
  EXPECT_EQ(mean.Finish(std::vector<float>{3.0f, -4.0f}, 7).values,
            (std::vector<float>{0.6f, -0.8f}));
}

}  // namespace
}  // namespace retort
