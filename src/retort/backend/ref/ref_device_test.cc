#include "retort/backend/ref/ref_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "retort/base/error.h"
#include "retort/base/random.h"

// The judge is judged by hand: answers that a reader can check without running anything.
namespace retort {
namespace {

using testing::ElementsAre;
using testing::FloatEq;

class RefDeviceTest : public testing::Test {
 protected:
  // Fresh rows × cols with the given values.
  Matrix Put(int64_t rows, int64_t cols, std::vector<float> values) {
    buffers_.push_back(device_->Allocate(values.size() * sizeof(float)));
    const Matrix matrix{buffers_.back().get(), 0, rows, cols, cols};
    device_->Upload(values, matrix);
    return matrix;
  }
  std::vector<float> Get(const Matrix& matrix) {
    std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.cols));
    device_->Download(matrix, values);
    return values;
  }
  std::unique_ptr<DeviceBatch> Batch(const BatchPlan& plan) {
    auto batch = device_->CreateBatch(64, 8, 8);
    device_->UploadBatch(plan, *batch);
    return batch;
  }
  ErrorCode CodeOf(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code();
    }
    ADD_FAILURE() << "no error";
    return ErrorCode::kInternal;
  }

  std::unique_ptr<Device> device_ = OpenRefDevice();
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

TensorView View(std::vector<float>& values, Shape shape) {
  return {"w", Format::kF32, shape, std::as_bytes(std::span(values)), "F32"};
}

BatchPlan OneSequence(std::vector<int32_t> tokens, std::vector<int32_t> positions) {
  BatchPlan plan;
  plan.row_begin = {0, static_cast<int32_t>(tokens.size())};
  plan.token_ids = std::move(tokens);
  plan.positions = std::move(positions);
  plan.page_table = {1, 0};
  plan.page_stride = 2;
  return plan;
}

TEST_F(RefDeviceTest, FreshMemoryIsNaN) {
  const auto buffer = device_->Allocate(8);
  const Matrix matrix{buffer.get(), 0, 1, 2, 2};
  for (const float value : Get(matrix)) EXPECT_TRUE(std::isnan(value));
}

TEST_F(RefDeviceTest, LinearStacksPartsAddsBiasAndAccumulates) {
  std::vector<float> first = {1, 2, 3, 4};
  std::vector<float> second = {5, 6};
  std::vector<float> bias = {10};
  const TensorView parts[] = {View(first, {2, 2}), View(second, {1, 2})};
  const TensorView biases[] = {TensorView{}, View(bias, {1})};
  const auto weight = device_->PackLinear(parts, biases, Compute::kNative);
  const Matrix x = Put(1, 2, {1, -1});
  const Matrix out = Put(1, 3, {100, 100, 100});
  device_->Linear(x, *weight, true, out);
  EXPECT_THAT(Get(out), ElementsAre(99, 99, 109));
  device_->Linear(x, *weight, false, out);
  EXPECT_THAT(Get(out), ElementsAre(-1, -1, 9));
}

TEST_F(RefDeviceTest, PackLinearRefusesNaN) {
  std::vector<float> values = {1, std::numeric_limits<float>::quiet_NaN()};
  const TensorView parts[] = {View(values, {1, 2})};
  EXPECT_EQ(CodeOf([&] { device_->PackLinear(parts, {}, Compute::kExact); }), ErrorCode::kCorrupt);
}

TEST_F(RefDeviceTest, RmsNormDividesByTheRoot) {
  const Matrix x = Put(1, 2, {3, 4});
  const Matrix weight = Put(1, 2, {1, 2});
  device_->RmsNorm(x, weight, 0.0f, x);
  const float root = std::sqrt(12.5);
  EXPECT_THAT(Get(x), ElementsAre(FloatEq(3 / root), FloatEq(8 / root)));
}

TEST_F(RefDeviceTest, RopeTurnsPairsAndAttentionAveragesValues) {
  // D = 2, one head; a quarter turn per position. Keys all zero: attention is the mean of values.
  const KvSpec spec{2, 1, 2, 2, Format::kF32};
  const auto cache = device_->CreateKvCache(spec);
  const auto batch = Batch(OneSequence({0, 0, 0}, {0, 1, 2}));
  const RopeSpec rope{{static_cast<float>(M_PI / 2)}, 1.0f, false};
  const Matrix qkv = Put(3, 6,
                         {1, 0, 0, 0, 3, 6,  //
                          1, 0, 0, 0, 5, 8,  //
                          0, 1, 0, 0, 7, 1});
  device_->RopeAndStoreKv(qkv, 1, rope, *batch, *cache, 1);
  const auto queries = Get(qkv.Cols(0, 2));
  const float expected[] = {1, 0, 0, 1, 0, -1};
  for (int i = 0; i < 6; ++i) EXPECT_NEAR(queries[i], expected[i], 1e-6);
  const Matrix out = Put(3, 2, std::vector<float>(6, 0));
  device_->Attend(qkv.Cols(0, 2), {1, 1.0f, 0}, *batch, *cache, 1, out);
  EXPECT_THAT(Get(out), ElementsAre(3, 6, 4, 7, 5, 5));
  device_->Attend(qkv.Cols(0, 2), {1, 1.0f, 2}, *batch, *cache, 1, out);
  EXPECT_THAT(Get(out), ElementsAre(3, 6, 4, 7, 6, 4.5f));
}

TEST_F(RefDeviceTest, SamplingKeepsItsOrder) {
  // Probabilities 1/2, 1/4, 1/8, 1/8 at ids 3, 1, 0, 2.
  const float unit = std::log(2.0f);
  const Matrix logits = Put(1, 4, {-3 * unit, -2 * unit, -3 * unit, -unit});
  const auto draw = [&](SamplingRow row) { return device_->Sample(logits, {&row, 1})[0]; };
  EXPECT_EQ(draw({}).token_id, 3);
  int counts[4] = {};
  for (uint64_t position = 0; position < 400; ++position) {
    const double u = RandomUniform(7, position);
    const auto id = draw({.temperature = 1, .seed = 7, .position = position}).token_id;
    EXPECT_EQ(id, u < 0.125 ? 0 : u < 0.375 ? 1 : u < 0.5 ? 2 : 3);
    // top_k 3 keeps 3, 1 and the lower of the equal ids; top_p of those 7/8 then keeps two.
    const auto filtered =
        draw({.temperature = 1, .top_k = 3, .top_p = 0.8f, .seed = 7, .position = position});
    EXPECT_EQ(filtered.token_id, u < 1.0 / 3 ? 1 : 3);
    const auto by_min_p = draw({.temperature = 1, .min_p = 0.4f, .seed = 7, .position = position});
    EXPECT_EQ(by_min_p.token_id, u < 1.0 / 3 ? 1 : 3);
    ++counts[id];
  }
  for (const int count : counts) EXPECT_GT(count, 0);
}

TEST_F(RefDeviceTest, SamplingHonoursTheMaskAndReportsLogprobs) {
  const float unit = std::log(2.0f);
  const Matrix logits = Put(1, 4, {-3 * unit, -2 * unit, -3 * unit, -unit});
  const uint32_t allowed = 0b0101;
  SamplingRow row{.num_top_logprobs = 5, .allowed = &allowed};
  const SampledToken sampled = device_->Sample(logits, {&row, 1})[0];
  EXPECT_EQ(sampled.token_id, 0);
  EXPECT_NEAR(sampled.logprob, -unit, 1e-6);
  ASSERT_EQ(sampled.top_logprobs.size(), 2u);
  EXPECT_EQ(sampled.top_logprobs[1].token_id, 2);
  const Device::LogprobQuery query{0, 1};
  EXPECT_NEAR(device_->Logprobs(logits, {&query, 1})[0], -2 * unit, 1e-6);

  const uint32_t none = 0;
  row.allowed = &none;
  EXPECT_EQ(CodeOf([&] { device_->Sample(logits, {&row, 1}); }), ErrorCode::kInvalid);
}

TEST_F(RefDeviceTest, ContradictionsAreInternalErrors) {
  const Matrix x = Put(2, 3, std::vector<float>(6, 1));
  const Matrix weight = Put(1, 2, {1, 1});
  EXPECT_EQ(CodeOf([&] { device_->RmsNorm(x, weight, 0, x); }), ErrorCode::kInternal);
  Matrix beyond = x;
  beyond.rows = 3;
  std::vector<float> values(9);
  EXPECT_EQ(CodeOf([&] { device_->Download(beyond, values); }), ErrorCode::kInternal);
  BatchPlan plan = OneSequence({1}, {64});
  auto batch = device_->CreateBatch(8, 2, 2);
  EXPECT_EQ(CodeOf([&] { device_->UploadBatch(plan, *batch); }), ErrorCode::kInternal);
  plan = OneSequence({1}, {40});
  plan.page_table = {0, -1};
  EXPECT_EQ(CodeOf([&] { device_->UploadBatch(plan, *batch); }), ErrorCode::kInternal);
  EXPECT_EQ(CodeOf([&] {
              device_->CreateKvCache({1, 1, 8, 1, Format::kQ8_0});
            }),
            ErrorCode::kUnsupported);
  EXPECT_EQ(CodeOf([&] { device_->Allocate(size_t{1} << 60); }), ErrorCode::kExhausted);
}

}  // namespace
}  // namespace retort
