#include <gmock/gmock.h>

#include <atomic>
#include <functional>
#include <memory>

#include "retort/devices/devices.h"
#include "retort/engine/engine_test_models.h"
#include "retort/engine/forwarding_device_test.h"

// Every kind of work, preempted after each of its steps: in its prompt, between its tokens, before
// its last one. Its answer has the bits of the run that nobody disturbed.
namespace retort {
namespace {

// Calls back as each step begins, on the engine's thread.
class WatchedDevice : public ForwardingDevice {
 public:
  WatchedDevice(std::unique_ptr<Device> device, std::shared_ptr<std::function<void()>> on_step)
      : ForwardingDevice(std::move(device)), on_step_(std::move(on_step)) {}

  void UploadBatch(const BatchPlan& plan, DeviceBatch& batch) override {
    if (*on_step_) (*on_step_)();
    ForwardingDevice::UploadBatch(plan, batch);
  }

 private:
  std::shared_ptr<std::function<void()>> on_step_;
};

struct NamedRequest {
  const char* name;
  Request request;
};

// Prompts of more than two pages, in three chunks.
std::vector<NamedRequest> AllWork() {
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < 70; ++i) prompt.push_back(3 + (i * 97) % 500);
  SamplingParams greedy = Greedy(6);
  greedy.ignore_eos = true;
  SamplingParams sampled = greedy;
  sampled.temperature = 0.9f;
  sampled.top_p = 0.8f;
  sampled.seed = 11;
  SamplingParams logprobs = sampled;
  logprobs.num_top_logprobs = 3;
  SamplingParams constrained = logprobs;
  constrained.ignore_eos = false;
  constrained.max_new_tokens = 30;
  SamplingParams stopped = greedy;
  stopped.max_new_tokens = 40;
  stopped.stop = {"e ", "qqq"};
  Generation closing{constrained, JsonSchemaConstraint(R"({"type": "object", "properties":
      {"a": {"type": "string"}, "b": {"enum": [1, 2]}}, "required": ["a", "b"]})")};
  closing.sampling.max_new_tokens = 30;
  closing.close = true;
  std::vector<NamedRequest> all = {
      {"greedy", {}},
      {"sampled", {}},
      {"with log-probabilities", {}},
      {"constrained", {}},
      {"constrained, with forced text", {}},
      {"constrained and closed", {}},
      {"stopped by a text", {}},
      {"scores of one continuation", {}},
      {"scores of many continuations", {}},
      {"embedding of the last token", {}},
      {"mean embedding", {}},
      {"mean embedding of length 1", {}},
  };
  const std::vector<decltype(Request::work)> works = {
      Generation{greedy, nullptr},
      Generation{sampled, nullptr},
      Generation{logprobs, nullptr},
      Generation{constrained, RegexConstraint("( [a-z]{2,5}){2}\\.")},
      Generation{constrained, RegexConstraint("a fixed beginning of the answer: [ab]{4}")},
      closing,
      Generation{stopped, nullptr},
      Scoring{{" there was a little girl"}},
      Scoring{{" the", " was very happy and", "x", " ran away"}},
      Embedding{PoolingKind::kLastToken, false},
      Embedding{PoolingKind::kMean, false},
      Embedding{PoolingKind::kMean, true},
  };
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].request.prompt = prompt;
    all[i].request.work = works[i];
  }
  return all;
}

struct Answer {
  std::string bits;
  std::string streamed;
  int num_steps = 0;  // of the whole engine, until it came
  uint64_t num_preemptions = 0;
};

// The request's answer when another, of higher priority, comes in its step `preempted_in` (from 1;
// 0: none does) and takes the only seat.
Answer Ask(const EngineOptions& options, const Request& request, int preempted_in) {
  const auto on_step = std::make_shared<std::function<void()>>();
  const auto engine =
      Engine::Open(options, std::make_unique<WatchedDevice>(OpenDevice(options.device), on_step));
  Request intruder = retort::Ask("Once", Greedy(2));
  intruder.priority = 1;
  std::promise<Response> intruder_done;
  Answer answer;
  *on_step = [&] {
    if (++answer.num_steps != preempted_in) return;
    ResponseHandler handler;
    handler.on_done = [&](Response response) { intruder_done.set_value(std::move(response)); };
    engine->Submit(intruder, std::move(handler));
  };
  std::promise<Response> done;
  ResponseHandler handler;
  handler.on_text = [&](std::string_view delta) { answer.streamed += delta; };
  handler.on_done = [&](Response response) { done.set_value(std::move(response)); };
  engine->Submit(request, std::move(handler));
  const Response response = done.get_future().get();
  answer.bits = Bits(response);
  if (preempted_in > 0) {
    EXPECT_TRUE(intruder_done.get_future().get().ok());
  }
  if (response.ok() && std::holds_alternative<Completion>(response.result)) {
    EXPECT_EQ(answer.streamed, CompletionOf(response).text);
  }
  answer.num_preemptions = engine->stats().num_preemptions;
  return answer;
}

class EnginePreemption : public testing::TestWithParam<bool> {};

TEST_P(EnginePreemption, AfterAnyStepOfAnyWorkChangesNothing) {
  SKIP_WITHOUT(Stories());
  for (const std::string& device : DeviceNames()) {
    EngineOptions options = StoriesOptions();
    options.device = device;
    options.compute = Compute::kNative;
    options.num_threads = 1;
    options.prefix_cache = GetParam();
    options.max_num_seqs = 1;
    options.prefill_chunk_tokens = 30;
    for (const NamedRequest& work : AllWork()) {
      const Answer expected = Ask(options, work.request, 0);
      ASSERT_NE(expected.bits.substr(0, 5), "error") << work.name << ": " << expected.bits;
      ASSERT_GE(expected.num_steps, 3) << work.name;
      for (int step = 1; step < expected.num_steps; ++step) {
        const Answer answer = Ask(options, work.request, step);
        EXPECT_EQ(answer.bits, expected.bits) << device << ": " << work.name << " after " << step;
        EXPECT_EQ(answer.num_preemptions, 1u) << device << ": " << work.name << " after " << step;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(PrefixCache, EnginePreemption, testing::Bool(),
                         [](const auto& test) { return test.param ? "On" : "Off"; });

}  // namespace
}  // namespace retort
