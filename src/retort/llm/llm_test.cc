#include <gtest/gtest.h>

#include <limits>

#include "retort/llm/request_check.h"
#include "retort/llm/step_series.h"

namespace retort {
namespace {

TEST(CheckRequest, RefusesParametersOutOfRange) {
  const auto refused = [](auto change) {
    Request request;
    Generation work;
    change(work.sampling);
    request.work = work;
    try {
      CheckRequest(request);
    } catch (const Error& error) {
      return error.code() == ErrorCode::kInvalid;
    }
    return false;
  };
  using S = SamplingParams;
  EXPECT_FALSE(refused([](S&) {}));
  EXPECT_TRUE(refused([](S& s) { s.temperature = -1; }));
  EXPECT_TRUE(refused([](S& s) { s.temperature = std::numeric_limits<float>::quiet_NaN(); }));
  EXPECT_TRUE(refused([](S& s) { s.top_k = -1; }));
  EXPECT_TRUE(refused([](S& s) { s.top_p = 0; }));
  EXPECT_TRUE(refused([](S& s) { s.top_p = 1.5f; }));
  EXPECT_TRUE(refused([](S& s) { s.min_p = -0.1f; }));
  EXPECT_TRUE(refused([](S& s) { s.max_new_tokens = 0; }));
  EXPECT_TRUE(refused([](S& s) { s.num_top_logprobs = 257; }));
  EXPECT_TRUE(refused([](S& s) { s.stop = {"a", ""}; }));
  EXPECT_TRUE(refused([](S& s) { s.stop.assign(65, "a"); }));
}

TEST(CheckRequest, TakesWhatIsAtItsBounds) {
  Generation work;
  SamplingParams& sampling = work.sampling;
  sampling.temperature = 0;
  sampling.top_p = 1;
  sampling.min_p = 1;
  sampling.max_new_tokens = 1;
  sampling.num_top_logprobs = kTopLogprobsMax;
  sampling.stop.assign(kStopStringsMax, std::string(kStopStringBytesMax, 'x'));
  const auto check = [&] {
    Request request;
    request.work = work;
    CheckRequest(request);
  };
  EXPECT_NO_THROW(check());
  sampling.stop[3] += 'x';
  EXPECT_THROW(check(), Error);
  sampling.stop.assign(kStopStringsMax + 1, "x");
  EXPECT_THROW(check(), Error);
  sampling.stop.clear();
  sampling.num_top_logprobs = kTopLogprobsMax + 1;
  EXPECT_THROW(check(), Error);
  Request request;
  request.work = Scoring{std::vector<std::string>(kContinuationsMax, "a")};
  EXPECT_NO_THROW(CheckRequest(request));
}

TEST(CheckRequest, RefusesEmptyOrTooManyContinuations) {
  for (const auto& continuations : {std::vector<std::string>{}, std::vector<std::string>{"a", ""},
                                    std::vector<std::string>(kContinuationsMax + 1, "a")}) {
    Request request;
    request.work = Scoring{continuations};
    EXPECT_THROW(CheckRequest(request), Error);
  }
}

TEST(StepSeries, StaysBoundedAndKeepsTheEnds) {
  StepSeries series;
  StepPoint point;
  for (int i = 0; i < 100001; ++i) {
    ++point.num_steps;
    point.num_step_sequences += 10;
    point.batch_tokens += 20;
    series.Add(point);
  }
  const auto points = series.points();
  EXPECT_LE(points.size(), StepSeries::kPointsMax);
  EXPECT_GT(points.size(), StepSeries::kPointsMax / 4);
  EXPECT_EQ(points.back().num_steps, 100001u);
  for (size_t i = 1; i < points.size(); ++i) {
    ASSERT_GT(points[i].num_steps, points[i - 1].num_steps);
    ASSERT_EQ(points[i].batch_tokens, points[i].num_steps * 20);
  }
}

TEST(StepSeries, MeanLeavesOutTheTail) {
  StepSeries series;
  StepPoint point;
  for (int i = 0; i < 100; ++i) {  // 90 steps of 32 sequences, then 10 of one
    ++point.num_steps;
    const uint64_t sequences = i < 90 ? 32 : 1;
    point.num_step_sequences += sequences;
    point.completion_tokens += sequences;
    series.Add(point);
  }
  const auto points = series.points();
  EXPECT_DOUBLE_EQ(MeanSequencesUntil(points, &StepPoint::completion_tokens, 0.9), 32);
  EXPECT_LT(MeanSequencesUntil(points, &StepPoint::completion_tokens, 1.0), 32);
  EXPECT_EQ(MeanSequencesUntil({}, &StepPoint::completion_tokens, 0.9), 0);
}

}  // namespace
}  // namespace retort
