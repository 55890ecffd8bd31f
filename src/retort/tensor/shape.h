#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace retort {

// Dimensions of a tensor, outermost first. A value: no allocation. Rank 0 is a scalar (one value).
class Shape {
 public:
  static constexpr int kRankMax = 8;

  Shape() = default;
  // Throws Error{kInvalid} if there are more than kRankMax dimensions or one is negative.
  explicit Shape(std::span<const int64_t> dims);
  Shape(std::initializer_list<int64_t> dims)
      : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[axis]; }
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }

  // Product of all dimensions. Throws Error{kInvalid} if it does not fit in int64.
  int64_t NumValues() const;
  // Length of the innermost, contiguous dimension; 1 for a scalar.
  int64_t RowValues() const { return rank_ == 0 ? 1 : dims_[rank_ - 1]; }
  // Number of rows: the product of all dimensions but the innermost. Throws as NumValues does.
  int64_t NumRows() const;

  // "[2, 3]".
  std::string ToString() const;

  // Unused dimensions stay zero, so comparing members compares shapes.
  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, kRankMax> dims_{};
  int rank_ = 0;
};

}  // namespace retort
