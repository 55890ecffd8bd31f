#include "retort/engine/engine.h"

#include <gmock/gmock.h>

#include <atomic>
#include <cmath>
#include <set>
#include <sstream>
#include <thread>

#include "retort/base/json.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/devices/devices.h"
#include "retort/engine/engine_test_models.h"

namespace retort {
namespace {

TEST(Engine, StoriesGreedyTextIsByteIdenticalOnEveryDevice) {
  SKIP_WITHOUT(Stories());
  const std::string expected =
      ReadText(SharedData() / "models/stories260K/stories260K.greedy200.expected.txt");
  for (const std::string& device : DeviceNames()) {
    EngineOptions options = StoriesOptions();
    options.device = device;
    const auto engine = Engine::Open(options);
    SamplingParams sampling = Greedy(200);
    sampling.ignore_eos = true;
    Request request = Ask("", sampling);
    const Response response = Await(*engine, request);
    EXPECT_EQ(CompletionOf(response).text, expected) << device;
    EXPECT_EQ(CompletionOf(response).finish_reason, FinishReason::kLength);
    EXPECT_EQ(response.usage.prompt_tokens, 1);
    EXPECT_EQ(response.usage.completion_tokens, 200);
  }
}

// Requests of every kind, with prompts that share their beginnings.
std::vector<Request> MixedRequests(int count) {
  const std::string begin =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the park "
      "with her friends. One day, she saw a big red ball";
  std::vector<Request> requests;
  for (int i = 0; i < count; ++i) {
    SamplingParams sampling;
    sampling.temperature = i % 3 == 0 ? 0.0f : 0.9f;
    sampling.top_p = i % 2 == 0 ? 1.0f : 0.8f;
    sampling.top_k = i % 5 == 0 ? 20 : 0;
    sampling.seed = static_cast<uint64_t>(i);
    sampling.max_new_tokens = 5 + 7 * (i % 6);
    sampling.num_top_logprobs = i % 4 - 1;
    const size_t length = 10 + static_cast<size_t>(i * 37) % begin.size();
    Request request = Ask(begin.substr(0, length), sampling);
    if (i % 7 == 3) request.work = Scoring{{" the", " was very happy and", " ran", "."}};
    if (i % 7 == 5) request.work = Embedding{PoolingKind::kMean, i % 2 == 0};
    if (i % 7 == 6) request.work = Embedding{PoolingKind::kLastToken, i % 2 == 0};
    request.priority = i % 2;
    requests.push_back(std::move(request));
  }
  return requests;
}

std::vector<std::string> BitsOf(const std::vector<Response>& responses) {
  std::vector<std::string> bits;
  for (const Response& response : responses) bits.push_back(Bits(response));
  return bits;
}

TEST(Engine, AnswersDoNotDependOnHowTheyAreBatched) {
  SKIP_WITHOUT(Stories());
  for (const std::string& device : DeviceNames()) {
    const std::vector<Request> requests = MixedRequests(21);
    std::vector<std::string> expected;
    for (const int max_num_seqs : {1, 8, 64}) {
      for (const bool prefix_cache : {false, true}) {
        for (const int chunk : {512, 16}) {
          EngineOptions options = StoriesOptions();
          options.device = device;
          options.compute = Compute::kNative;
          options.max_num_seqs = max_num_seqs;
          options.prefix_cache = prefix_cache;
          options.prefill_chunk_tokens = chunk;
          const auto engine = Engine::Open(options);
          const std::vector<std::string> bits = BitsOf(Answers(*engine, requests));
          if (expected.empty()) {
            expected = bits;
            for (const std::string& answer : bits) ASSERT_NE(answer.substr(0, 5), "error");
          }
          EXPECT_EQ(bits, expected) << device << " max_num_seqs " << max_num_seqs
                                    << " prefix_cache " << prefix_cache << " chunk " << chunk;
          EXPECT_EQ(BitsOf(Answers(*engine, requests)), expected) << "once more";
          EXPECT_EQ(engine->stats().cached_tokens > 0, prefix_cache);
        }
      }
    }
  }
}

TEST(Engine, PreemptionChangesNothing) {
  SKIP_WITHOUT(Stories());
  std::vector<Request> requests = MixedRequests(14);
  for (Request& request : requests) {
    if (auto* generation = std::get_if<Generation>(&request.work)) {
      generation->sampling.max_new_tokens += 60;
      generation->sampling.ignore_eos = true;
    }
  }
  EngineOptions options = StoriesOptions();
  const std::vector<std::string> expected = BitsOf(Answers(*Engine::Open(options), requests));
  const auto page_bytes = size_t{5} * 4 * 8 * 2 * 4 * kPageTokens;  // 5 layers, f32
  options.kv_bytes = 9 * page_bytes;
  for (const bool prefix_cache : {false, true}) {
    options.prefix_cache = prefix_cache;
    options.prefill_chunk_tokens = prefix_cache ? 256 : 3;
    const auto engine = Engine::Open(options);
    EXPECT_EQ(engine->description().context_tokens_max, 9 * kPageTokens);
    EXPECT_EQ(BitsOf(Answers(*engine, requests)), expected) << prefix_cache;
    EXPECT_GT(engine->stats().num_preemptions, 0u);
  }
}

TEST(Engine, RequestTooLargeFailsAloneWithNumbers) {
  SKIP_WITHOUT(Stories());
  EngineOptions options = StoriesOptions();
  options.context_tokens_max = 100;
  const auto engine = Engine::Open(options);
  Request large;
  large.prompt = std::vector<int32_t>(100, 5);
  large.work = Generation{Greedy(4), nullptr};
  auto fine = SubmitTo(*engine, Ask("Once", Greedy(8)));
  const Response response = SubmitTo(*engine, large).get();
  EXPECT_EQ(CodeOf(response), ErrorCode::kExhausted);
  EXPECT_THAT(std::get<Error>(response.result).message(), testing::HasSubstr("100 tokens"));
  EXPECT_EQ(CompletionOf(fine.get()).token_ids.size(), 8u);
  large.work = Embedding{};
  EXPECT_TRUE(SubmitTo(*engine, large).get().ok());

  const Response to_the_end = SubmitTo(*engine, Ask("Once", Greedy(500))).get();
  EXPECT_EQ(to_the_end.usage.prompt_tokens + to_the_end.usage.completion_tokens, 100);
  EXPECT_EQ(CompletionOf(to_the_end).finish_reason, FinishReason::kLength);
}

TEST(Engine, StopStringEndsTextBeforeItWhereverTokensEnd) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  const std::string whole = CompletionOf(Await(*engine, Ask("Once upon", Greedy(60)))).text;
  ASSERT_GT(whole.size(), 60u);
  for (size_t begin = 5; begin < 40; begin += 3) {
    for (const size_t length : {1u, 4u, 11u}) {
      SamplingParams sampling = Greedy(60);
      const std::string stop = whole.substr(begin, length);
      sampling.stop = {"never there", stop};
      std::string streamed;
      std::promise<Response> done;
      ResponseHandler handler;
      handler.on_text = [&](std::string_view delta) { streamed += delta; };
      handler.on_done = [&](Response response) { done.set_value(std::move(response)); };
      engine->Submit(Ask("Once upon", sampling), handler);
      const Response response = done.get_future().get();
      EXPECT_EQ(CompletionOf(response).text, whole.substr(0, whole.find(stop)));
      EXPECT_EQ(CompletionOf(response).finish_reason, FinishReason::kStop);
      EXPECT_EQ(streamed, CompletionOf(response).text);
      EXPECT_LT(response.usage.completion_tokens, 60);
    }
  }
}

TEST(Engine, CancelAndDeadlineEndOneRequestWithinAStep) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  SamplingParams endless = Greedy(450);
  endless.ignore_eos = true;
  std::stop_source source;
  Request request = Ask("Once", endless);
  request.stop = source.get_token();
  std::promise<Response> done;
  std::promise<void> begun;
  std::atomic<int> deltas{0};
  ResponseHandler handler;
  handler.on_text = [&](std::string_view) {
    if (++deltas == 3) begun.set_value();
  };
  handler.on_done = [&](Response response) { done.set_value(std::move(response)); };
  engine->Submit(request, handler);
  begun.get_future().wait();
  auto other = SubmitTo(*engine, Ask("Once", Greedy(5)));
  source.request_stop();
  const Response cancelled = done.get_future().get();
  EXPECT_EQ(CodeOf(cancelled), ErrorCode::kCancelled);
  EXPECT_GT(cancelled.usage.completion_tokens, 0);
  EXPECT_TRUE(other.get().ok());

  request = Ask("Once", endless);
  request.deadline = std::chrono::steady_clock::now();
  EXPECT_EQ(CodeOf(SubmitTo(*engine, request).get()), ErrorCode::kDeadline);
}

TEST(Engine, EightThreadsSubmitAtOnce) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  const std::vector<Request> requests = MixedRequests(7);
  const std::vector<std::string> expected = BitsOf(Answers(*engine, requests));
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < requests.size(); ++i) {
        const size_t at = (i + static_cast<size_t>(t)) % requests.size();
        if (Bits(SubmitTo(*engine, requests[at]).get()) != expected[at]) ++wrong;
        engine->stats();
        engine->RequestKey(requests[at]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  const ModelStats stats = engine->stats();
  EXPECT_EQ(stats.num_requests, 9 * requests.size());
  EXPECT_EQ(stats.num_failed, 0u);
  EXPECT_GT(stats.busy_ns, 0u);
  const auto points = engine->step_points();
  ASSERT_FALSE(points.empty());
  EXPECT_EQ(points.back().num_steps, stats.num_steps);
}

// The log-probability of a continuation is the sum of what its tokens had when drawn in turn.
TEST(Engine, ScoresAreThoseOfTheTokensInTurn) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  SamplingParams sampling = Greedy(6);
  sampling.num_top_logprobs = 0;
  const std::string prompt = "Once upon a time there was a little dog";
  const Completion drawn = CompletionOf(Await(*engine, Ask(prompt, sampling)));
  double sum = 0;
  for (const TokenLogprobs& token : drawn.logprobs) sum += token.logprob;
  Request request = Ask(prompt);
  request.work = Scoring{{"zzz", drawn.text, "1"}};
  const uint64_t steps_before = engine->stats().num_steps;
  const Scores scores = std::get<Scores>(Await(*engine, request).result);
  ASSERT_EQ(scores.continuations.size(), 3u);
  const ContinuationScore& score = scores.continuations[1];
  ASSERT_EQ(score.num_tokens, 6);
  EXPECT_NEAR(score.logprob, sum, 1e-4);
  EXPECT_NEAR(score.first_token_logprob, drawn.logprobs[0].logprob, 1e-5);
  EXPECT_LT(scores.continuations[0].logprob, score.logprob);

  // One forward answers for all continuations of one token.
  request.work = Scoring{{"a", "b", "c", "d"}};
  const uint64_t steps = engine->stats().num_steps;
  const Scores ones = std::get<Scores>(Await(*engine, request).result);
  EXPECT_GT(steps, steps_before + 1);
  EXPECT_EQ(engine->stats().num_steps, steps + 1);
  for (const ContinuationScore& one : ones.continuations) {
    EXPECT_EQ(one.num_tokens, 1);
    EXPECT_EQ(one.logprob, one.first_token_logprob);
  }
}

// Attention is causal: the state of a prompt's k-th token is the last state of its first k tokens.
TEST(Engine, MeanEmbeddingIsTheMeanOfLastTokenStates) {
  SKIP_WITHOUT(Stories());
  EngineOptions options = StoriesOptions();
  options.prefill_chunk_tokens = 5;
  const auto engine = Engine::Open(options);
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < 40; ++i) prompt.push_back(1 + (i * 97) % 500);
  const auto embed = [&](size_t length, PoolingKind pooling, bool normalize) {
    Request request;
    request.prompt =
        std::vector<int32_t>(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(length));
    request.work = Embedding{pooling, normalize};
    return std::get<EmbeddingVector>(Await(*engine, request).result).values;
  };
  const std::vector<float> mean = embed(prompt.size(), PoolingKind::kMean, false);
  ASSERT_EQ(mean.size(), 64u);
  std::vector<double> sum(mean.size(), 0);
  for (size_t k = 1; k <= prompt.size(); ++k) {
    const std::vector<float> last = embed(k, PoolingKind::kLastToken, false);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += last[i];
  }
  for (size_t i = 0; i < sum.size(); ++i) EXPECT_NEAR(mean[i], sum[i] / 40, 1e-4) << i;
  double square = 0;
  for (const float value : embed(40, PoolingKind::kMean, true)) square += double{value} * value;
  EXPECT_NEAR(square, 1.0, 1e-5);
}

TEST(Engine, RequestKeysTellAnswersApart) {
  SKIP_WITHOUT(Stories());
  const auto engine = Engine::Open(StoriesOptions());
  std::set<std::string> keys;
  const Request base = Ask("Once", Greedy(5));
  keys.insert(engine->RequestKey(base));
  keys.insert(engine->RequestKey(Ask("Once ", Greedy(5))));
  keys.insert(engine->RequestKey(Ask("Once", Greedy(6))));
  EngineOptions options = StoriesOptions();
  options.compute = Compute::kNative;
  keys.insert(Engine::Open(options)->RequestKey(base));
  options = StoriesOptions();
  options.context_tokens_max = 4;
  keys.insert(Engine::Open(options)->RequestKey(base));  // there its end comes sooner
  EXPECT_EQ(keys.size(), 5u);

  options = StoriesOptions();
  options.context_tokens_max = 400;
  options.max_num_seqs = 3;
  options.prefix_cache = false;
  EXPECT_EQ(Engine::Open(options)->RequestKey(base), engine->RequestKey(base));
}

TEST(Engine, LogHoldsStartsAndEndsInOrder) {
  SKIP_WITHOUT(Stories());
  const ScratchFolder folder;
  const auto file = folder.path() / "log";
  EngineOptions options = StoriesOptions();
  options.engine_log = file;
  {
    const auto engine = Engine::Open(options);
    std::vector<Request> requests = MixedRequests(7);
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].id = "id" + std::to_string(i);
      requests[i].tag = "tag";
    }
    requests[0].deadline = std::chrono::steady_clock::now();  // never begins
    std::vector<std::future<Response>> futures;
    for (const Request& request : requests) {
      auto seen = std::make_shared<std::promise<Response>>();
      futures.push_back(seen->get_future());
      ResponseHandler handler;
      handler.on_done = [&, seen, id = request.id](Response response) {
        // The end is in the log before anyone hears of it.
        if (response.ok()) {
          EXPECT_THAT(ReadText(file), testing::HasSubstr("{\"event\":\"done\",\"id\":\"" + id));
        }
        seen->set_value(std::move(response));
      };
      engine->Submit(request, handler);
    }
    for (auto& future : futures) future.get();
  }
  std::istringstream lines(ReadText(file));
  std::map<std::string, std::vector<std::string>> events;
  for (std::string line; std::getline(lines, line);) {
    const Json event = ParseJson(line, "log");
    EXPECT_EQ(event["tag"], "tag");
    events[event["id"]].push_back(event["event"]);
  }
  EXPECT_EQ(events.size(), 6u);
  for (const auto& [id, list] : events) {
    EXPECT_EQ(list, (std::vector<std::string>{"start", "done"})) << id;
  }
  std::filesystem::remove(file);
}

TEST(Engine, BadRequestsFailAlone) {
  SKIP_WITHOUT(Stories());
  EngineOptions options = StoriesOptions();
  const auto engine = Engine::Open(options);
  Request request = Ask("x", Greedy(0));
  EXPECT_EQ(CodeOf(SubmitTo(*engine, request).get()), ErrorCode::kInvalid);
  request = Ask("x", Greedy(2));
  request.prompt = std::vector<int32_t>{1, 512};
  EXPECT_EQ(CodeOf(SubmitTo(*engine, request).get()), ErrorCode::kInvalid);
  request.prompt = std::vector<int32_t>{-1};
  EXPECT_EQ(CodeOf(SubmitTo(*engine, request).get()), ErrorCode::kInvalid);
  request.prompt = std::vector<int32_t>{};
  EXPECT_EQ(CodeOf(SubmitTo(*engine, request).get()), ErrorCode::kInvalid);
  ChatPrompt chat;
  chat.messages = ParseJson(R"([{"role": "user", "content": "hi"}])", "t");
  request.prompt = chat;
  EXPECT_EQ(CodeOf(SubmitTo(*engine, request).get()), ErrorCode::kNotFound);  // no template
  EXPECT_THROW(engine->RequestKey(request), Error);
  EXPECT_EQ(engine->stats().num_failed, 5u);

  options.queue_requests_max = 0;
  EXPECT_EQ(CodeOf(SubmitTo(*Engine::Open(options), Ask("x")).get()), ErrorCode::kExhausted);
}

TEST(Engine, UnloadingAnswersWhatIsPending) {
  SKIP_WITHOUT(Stories());
  auto engine = Engine::Open(StoriesOptions());
  SamplingParams sampling = Greedy(400);
  sampling.ignore_eos = true;
  std::vector<std::future<Response>> futures;
  for (int i = 0; i < 40; ++i) futures.push_back(SubmitTo(*engine, Ask("Once", sampling)));
  engine.reset();
  for (auto& future : futures) {
    const Response response = future.get();
    EXPECT_TRUE(response.ok() || CodeOf(response) == ErrorCode::kCancelled);
  }
}

TEST(Engine, LastHandleMayGoInsideAHandler) {
  SKIP_WITHOUT(Stories());
  auto engine = Engine::Open(StoriesOptions());
  std::promise<void> done;
  ResponseHandler handler;
  Engine* raw = engine.get();
  handler.on_done = [&done, engine = std::move(engine)](Response) mutable {
    engine.reset();
    done.set_value();
  };
  raw->Submit(Ask("Once", Greedy(3)), std::move(handler));
  done.get_future().wait();
}

TEST(Engine, RefusesOptionsThatCannotWork) {
  SKIP_WITHOUT(Stories());
  EngineOptions options = StoriesOptions();
  options.kv_bytes = 100;
  EXPECT_THROW(Engine::Open(options), Error);
  options = StoriesOptions();
  options.max_num_seqs = 0;
  EXPECT_THROW(Engine::Open(options), Error);
  options = StoriesOptions();
  options.max_batch_tokens = 3;
  EXPECT_THROW(Engine::Open(options), Error);
  options = StoriesOptions();
  options.context_tokens_max = -1;
  EXPECT_THROW(Engine::Open(options), Error);
  options = StoriesOptions();
  options.device = "abacus";
  EXPECT_THROW(Engine::Open(options), Error);
}

}  // namespace
}  // namespace retort
