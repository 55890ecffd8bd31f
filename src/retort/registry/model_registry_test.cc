#include "retort/registry/model_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "retort/llm/scripted_model.h"

namespace retort {
namespace {

using std::chrono::milliseconds;

LoadModel Counting(std::atomic<int>& count) {
  return [&count] {
    std::this_thread::sleep_for(milliseconds(5));
    ++count;
    return std::make_shared<ScriptedModel>("ok");
  };
}

TEST(ModelRegistry, ManyWaitForOneLoadAndShareIt) {
  std::atomic<int> count{0};
  ModelRegistry registry({{"judge", Counting(count)}, {"other", Counting(count)}});
  std::vector<std::shared_ptr<LanguageModel>> handles(16);
  std::vector<std::thread> threads;
  for (auto& handle : handles) {
    threads.emplace_back([&] { handle = registry.Acquire("judge"); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 1);
  for (const auto& handle : handles) EXPECT_EQ(handle.get(), handles[0].get());
  const std::vector<ModelStatus> status = registry.status();
  ASSERT_EQ(status.size(), 2u);
  EXPECT_TRUE(status[0].is_loaded);
  EXPECT_EQ(status[0].num_handles, 16);
  EXPECT_EQ(status[0].num_loads, 1);
  EXPECT_GT(status[0].load_ns, 0u);
  EXPECT_FALSE(status[1].is_loaded);
  handles.clear();
  EXPECT_EQ(registry.status()[0].num_handles, 0);
  registry.Acquire("judge");
  EXPECT_EQ(count, 1);
}

TEST(ModelRegistry, FailedLoadIsToldToAllAndTriedAgain) {
  std::atomic<int> attempts{0};
  std::atomic<int> failed{0};
  std::promise<void> go;
  std::shared_future<void> gate = go.get_future().share();
  ModelRegistry registry({{"judge", [&]() -> std::shared_ptr<LanguageModel> {
                             gate.wait();
                             if (++attempts == 1) Throw(ErrorCode::kCorrupt, "broken file");
                             return std::make_shared<ScriptedModel>("ok");
                           }}});
  std::vector<std::thread> threads;
  std::atomic<int> begun{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      ++begun;
      try {
        registry.Acquire("judge");
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
        EXPECT_EQ(error.message(), "broken file");
        ++failed;
      }
    });
  }
  while (begun < 8) std::this_thread::yield();
  go.set_value();
  for (std::thread& thread : threads) thread.join();
  // Whoever came before the failure shares it; whoever came after tried again.
  EXPECT_GE(failed, 1);
  EXPECT_LE(attempts, 2);
  EXPECT_NE(registry.Acquire("judge"), nullptr);
  EXPECT_EQ(attempts, 2);
  EXPECT_EQ(registry.status()[0].num_failures, 1);
  EXPECT_EQ(registry.status()[0].num_loads, 1);
}

TEST(ModelRegistry, IdleModelsGoAfterTheirKeepAlive) {
  std::atomic<int> count{0};
  ModelRegistry::TimePoint now{};
  ModelRegistry registry({{"lazy", Counting(count), LoadPolicy::kLazy, milliseconds(100)},
                          {"pinned", Counting(count), LoadPolicy::kPinned, milliseconds(100)},
                          {"eager", Counting(count), LoadPolicy::kEager, milliseconds(500)},
                          {"brief", Counting(count), LoadPolicy::kLazy, milliseconds(0)},
                          {"stays", Counting(count), LoadPolicy::kPinned, milliseconds(0)}},
                         [&now] { return now; });
  registry.LoadEager();
  EXPECT_EQ(count, 3);
  std::weak_ptr<LanguageModel> gone;
  {
    auto handle = registry.Acquire("lazy");
    gone = handle;
    now += milliseconds(1000);
    EXPECT_EQ(registry.UnloadIdle(), 1);  // eager; lazy is in use
  }
  now += milliseconds(99);
  EXPECT_EQ(registry.UnloadIdle(), 0);
  now += milliseconds(1);
  EXPECT_EQ(registry.UnloadIdle(), 1);
  EXPECT_TRUE(gone.expired());
  registry.Acquire("brief");
  const std::vector<ModelStatus> status = registry.status();
  EXPECT_FALSE(status[0].is_loaded);
  EXPECT_TRUE(status[1].is_loaded);
  EXPECT_FALSE(status[2].is_loaded);
  EXPECT_FALSE(status[3].is_loaded);
  EXPECT_TRUE(status[4].is_loaded);
  registry.Acquire("lazy");
  EXPECT_EQ(registry.status()[0].num_loads, 2);
}

TEST(ModelRegistry, HandlesOutliveTheRegistry) {
  std::atomic<int> count{0};
  std::shared_ptr<LanguageModel> handle;
  {
    ModelRegistry registry({{"judge", Counting(count)}});
    handle = registry.Acquire("judge");
  }
  Request request;
  request.prompt = std::vector<Span>{{"hi", false}};
  EXPECT_EQ(std::get<Completion>(Await(*handle, request).result).text, "ok");
}

TEST(ModelRegistry, LoadEagerTriesAllAndNamesWhatFailed) {
  std::atomic<int> count{0};
  ModelRegistry registry(
      {{"bad", []() -> std::shared_ptr<LanguageModel> { Throw(ErrorCode::kIo, "no disk"); },
        LoadPolicy::kEager},
       {"worse", []() -> std::shared_ptr<LanguageModel> { Throw(ErrorCode::kCorrupt, "torn"); },
        LoadPolicy::kPinned},
       {"good", Counting(count), LoadPolicy::kPinned}});
  try {
    registry.LoadEager();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.message(), testing::HasSubstr("'bad'"));
  }
  EXPECT_EQ(count, 1);
}

TEST(ModelRegistry, RefusesUnknownDoubleAndEmptyEntries) {
  std::atomic<int> count{0};
  ModelRegistry registry({{"judge", Counting(count)}});
  try {
    registry.Acquire("jugde");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.message(), testing::HasSubstr("'judge'"));
  }
  EXPECT_THROW(ModelRegistry({{"a", Counting(count)}, {"a", Counting(count)}}), Error);
  EXPECT_THROW(ModelRegistry({{"a", nullptr}}), Error);
  EXPECT_EQ(ParseLoadPolicy("pinned"), LoadPolicy::kPinned);
  EXPECT_THROW(ParseLoadPolicy("pined"), Error);
  ModelRegistry nothing({{"null", [] { return std::shared_ptr<LanguageModel>(); }}});
  EXPECT_THROW(nothing.Acquire("null"), Error);
}

}  // namespace
}  // namespace retort
