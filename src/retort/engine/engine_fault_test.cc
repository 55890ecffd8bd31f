#include <gmock/gmock.h>

#include <atomic>
#include <memory>
#include <new>
#include <thread>

#include "retort/base/log.h"
#include "retort/devices/devices.h"
#include "retort/engine/engine_test_models.h"
#include "retort/engine/forwarding_device_test.h"

namespace retort {
namespace {

// What goes wrong, and when: shared with the test, which changes it while the engine runs.
struct Faults {
  std::atomic<int> sample_calls_until_error{-1};  // -1: never; 0: the next call, once
  std::atomic<bool> out_of_memory{false};         // every upload of a batch fails
  std::atomic<bool> every_step_fails{false};      // so does every upload, for another reason
  std::atomic<int> step_delay_us{0};
};

// A device that does what another one does, except for its faults.
class FaultyDevice : public ForwardingDevice {
 public:
  FaultyDevice(std::unique_ptr<Device> device, std::shared_ptr<Faults> faults)
      : ForwardingDevice(std::move(device)), faults_(std::move(faults)) {}

  void UploadBatch(const BatchPlan& plan, DeviceBatch& batch) override {
    if (faults_->out_of_memory) throw std::bad_alloc();
    if (faults_->every_step_fails) Throw(ErrorCode::kInternal, "the device is gone");
    std::this_thread::sleep_for(std::chrono::microseconds(faults_->step_delay_us));
    ForwardingDevice::UploadBatch(plan, batch);
  }
  std::vector<SampledToken> Sample(const Matrix& logits,
                                   std::span<const SamplingRow> rows) override {
    if (faults_->sample_calls_until_error >= 0 && faults_->sample_calls_until_error-- == 0) {
      Throw(ErrorCode::kInternal, "a kernel failed");
    }
    return ForwardingDevice::Sample(logits, rows);
  }

 private:
  std::shared_ptr<Faults> faults_;
};

class EngineFaults : public testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT(Stories());
    SetLogLevel(LogLevel::kError);
    engine_ =
        Engine::Open(StoriesOptions(), std::make_unique<FaultyDevice>(OpenDevice("ref"), faults_));
  }
  void TearDown() override { SetLogLevel(LogLevel::kInfo); }

  std::shared_ptr<Faults> faults_ = std::make_shared<Faults>();
  std::shared_ptr<Engine> engine_;
};

TEST_F(EngineFaults, FailedStepFailsItsRequestsAndTheEngineGoesOn) {
  const std::string expected = Bits(Await(*engine_, Ask("Once upon a time", Greedy(20))));
  faults_->sample_calls_until_error = 4;
  std::vector<Request> requests(6, Ask("Once upon a time", Greedy(20)));
  int num_failed = 0;
  for (const Response& response : Answers(*engine_, requests)) {
    if (response.ok()) {
      EXPECT_EQ(Bits(response), expected);
      continue;
    }
    ++num_failed;
    EXPECT_EQ(CodeOf(response), ErrorCode::kInternal);
    EXPECT_EQ(std::get<Error>(response.result).message(), "a kernel failed");
  }
  EXPECT_GE(num_failed, 1);
  // Nothing of the failed step is found in the prefix cache.
  EXPECT_EQ(Bits(Await(*engine_, requests[0])), expected);
  EXPECT_EQ(engine_->stats().num_failed, static_cast<uint64_t>(num_failed));
}

TEST_F(EngineFaults, LackOfMemoryIsExhaustedAndPasses) {
  Request embedding = Ask("Once");
  embedding.work = Embedding{PoolingKind::kMean, false};
  for (int i = 0; i < 40; ++i) {  // more often than there are places to sum in
    faults_->out_of_memory = true;
    EXPECT_EQ(CodeOf(SubmitTo(*engine_, embedding).get()), ErrorCode::kExhausted);
    if (i % 5 != 4) continue;  // fewer in a row than stop the engine
    faults_->out_of_memory = false;
    EXPECT_TRUE(SubmitTo(*engine_, embedding).get().ok());
    EXPECT_TRUE(SubmitTo(*engine_, Ask("Once", Greedy(3))).get().ok());
  }
}

// The engine says that it has stopped, so that whoever asks can stop too.
TEST_F(EngineFaults, StopsWhenEveryStepFails) {
  faults_->every_step_fails = true;
  for (int i = 1; i < kFailedStepsMax; ++i) {
    EXPECT_EQ(CodeOf(SubmitTo(*engine_, Ask("Once", Greedy(3))).get()), ErrorCode::kInternal) << i;
  }
  faults_->every_step_fails = false;
  EXPECT_TRUE(SubmitTo(*engine_, Ask("Once", Greedy(3))).get().ok());

  faults_->every_step_fails = true;
  SamplingParams sampling = Greedy(3);
  std::vector<Request> requests(1000, Ask("Once upon a time", sampling));
  uint64_t num_unavailable = 0;
  for (const Response& response : Answers(*engine_, requests)) {
    if (CodeOf(response) != ErrorCode::kUnavailable) continue;
    ++num_unavailable;
    EXPECT_THAT(std::get<Error>(response.result).message(),
                testing::AllOf(testing::HasSubstr("has stopped"),
                               testing::HasSubstr("8 steps in a row failed"),
                               testing::HasSubstr("the device is gone")));
  }
  EXPECT_GE(num_unavailable, requests.size() - kFailedStepsMax * 32);
  faults_->every_step_fails = false;  // too late
  EXPECT_EQ(CodeOf(SubmitTo(*engine_, Ask("Once", Greedy(3))).get()), ErrorCode::kUnavailable);
}

TEST_F(EngineFaults, HandlerThatThrowsHarmsOnlyItself) {
  ResponseHandler handler;
  std::promise<void> called;
  handler.on_done = [&](Response) {
    called.set_value();
    throw std::runtime_error("handler");
  };
  engine_->Submit(Ask("Once", Greedy(3)), handler);
  called.get_future().wait();
  ResponseHandler streaming;
  std::promise<Response> done;
  streaming.on_text = [](std::string_view) { throw std::runtime_error("closed"); };
  streaming.on_done = [&](Response response) { done.set_value(std::move(response)); };
  engine_->Submit(Ask("Once", Greedy(3)), streaming);
  EXPECT_FALSE(done.get_future().get().ok());
  EXPECT_TRUE(SubmitTo(*engine_, Ask("Once", Greedy(3))).get().ok());
}

TEST_F(EngineFaults, DeadlineEndsARunningRequest) {
  faults_->step_delay_us = 2000;
  SamplingParams sampling = Greedy(400);
  sampling.ignore_eos = true;
  Request request = Ask("Once", sampling);
  request.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(30);
  const Response late = SubmitTo(*engine_, request).get();
  EXPECT_EQ(CodeOf(late), ErrorCode::kDeadline);
  EXPECT_LT(late.usage.completion_tokens, 400);
}

}  // namespace
}  // namespace retort
