#include "retort/tensor/tensor_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "retort/base/error.h"
#include "retort/tensor/float_bits.h"

namespace retort {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename Function>
Error ErrorOf(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kInternal, "nothing was thrown");
}

TEST(ShapeTest, CountsValuesAndRows) {
  EXPECT_EQ(Shape().NumValues(), 1);
  EXPECT_EQ(Shape().NumRows(), 1);
  EXPECT_EQ(Shape().RowValues(), 1);
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape[2], 4);
  EXPECT_EQ(shape.NumValues(), 24);
  EXPECT_EQ(shape.NumRows(), 6);
  EXPECT_EQ(shape.RowValues(), 4);
  EXPECT_EQ(shape.ToString(), "[2, 3, 4]");
  EXPECT_EQ(Shape({5, 0}).NumValues(), 0);
  EXPECT_EQ(Shape({5, 0}).NumRows(), 5);
  EXPECT_TRUE(Shape({2, 3}) == Shape({2, 3}));
  EXPECT_FALSE(Shape({2, 3}) == Shape({2, 3, 1}));
  EXPECT_FALSE(Shape({0}) == Shape());
}

TEST(ShapeTest, RefusesWhatDoesNotFit) {
  const int64_t huge = int64_t{1} << 32;
  EXPECT_THROW(Shape({huge, huge}).NumValues(), Error);
  EXPECT_EQ(Shape({huge, huge, 0}).NumValues(), 0);
  EXPECT_EQ(Shape({huge, huge / 2 - 1}).NumValues(), huge * (huge / 2 - 1));
  EXPECT_THROW(Shape({1, -1}), Error);
  EXPECT_EQ(Shape(std::vector<int64_t>(Shape::kRankMax, 1)).rank(), Shape::kRankMax);
  EXPECT_THROW(Shape(std::vector<int64_t>(Shape::kRankMax + 1, 1)), Error);
}

TEST(TensorViewTest, DecodesARangeOfRows) {
  const float values[] = {1, 2, 3, 4, 5, 6};
  const TensorView tensor{"w", Format::kF32, {3, 2}, std::as_bytes(std::span(values)), "F32"};
  std::vector<float> out(4);
  DecodeRows(tensor, 1, 3, out.data());
  EXPECT_THAT(out, ElementsAre(3, 4, 5, 6));
  DecodeRows(tensor, 3, 3, out.data());  // no rows is fine
  for (auto [begin, end] : {std::pair{-1, 1}, {2, 1}, {0, 4}}) {
    const Error error = ErrorOf([&] { DecodeRows(tensor, begin, end, out.data()); });
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    EXPECT_THAT(error.message(), HasSubstr("'w'"));
  }
}

TEST(TensorViewTest, NamesTheTensorItCannotRead) {
  const std::vector<std::byte> bytes(64);
  float out[64];
  const TensorView unknown{"blk.0.w", Format::kUnsupported, {1, 32}, bytes, "IQ2_XXS"};
  const Error error = ErrorOf([&] { DecodeRows(unknown, 0, 1, out); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.message(), HasSubstr("'blk.0.w'"));
  EXPECT_THAT(error.message(), HasSubstr("IQ2_XXS"));
  const TensorView integers{"g_idx", Format::kI32, {16}, bytes, "I32"};
  EXPECT_EQ(ErrorOf([&] { DecodeRows(integers, 0, 1, out); }).code(), ErrorCode::kUnsupported);
  const TensorView ragged{"r", Format::kQ8_0, {2, 16}, std::span(bytes).first(34), "Q8_0"};
  EXPECT_EQ(ErrorOf([&] { DecodeRows(ragged, 0, 1, out); }).code(), ErrorCode::kInvalid);
}

TEST(TensorViewTest, FindsScalesThatAreNotFinite) {
  for (const FormatInfo& info : AllFormats()) {
    if (info.block_values <= 1 || info.format == Format::kMXFP4) continue;
    SCOPED_TRACE(info.name);
    std::vector<std::byte> bytes(static_cast<size_t>(info.block_bytes) * 3);
    const TensorView tensor{"w", info.format, {3, info.block_values}, bytes, info.name};
    CheckFinite(tensor);
    // All bits set makes every f16 a NaN, wherever the scale lies.
    std::fill(bytes.begin() + info.block_bytes, bytes.begin() + 2 * info.block_bytes,
              std::byte{0xff});
    const Error error = ErrorOf([&] { CheckFinite(tensor); });
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    EXPECT_THAT(error.message(), HasSubstr("block 1"));
  }
}

TEST(TensorViewTest, FindsSmallDenseValuesThatAreNotFinite) {
  std::vector<float> values = {1, 2, 3};
  const TensorView tensor{"norm", Format::kF32, {3}, std::as_bytes(std::span(values)), "F32"};
  CheckFinite(tensor);
  values[2] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(ErrorOf([&] { CheckFinite(tensor); }).code(), ErrorCode::kCorrupt);
  CheckFinite(tensor, 2);  // beyond the stated bound dense values are not read
}

}  // namespace
}  // namespace retort
