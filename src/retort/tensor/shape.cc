#include "retort/tensor/shape.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "retort/base/error.h"

namespace retort {
namespace {

int64_t Product(std::span<const int64_t> dims, const Shape& whole) {
  // A zero anywhere makes the product zero, whatever the others would overflow to.
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return 0;
  int64_t product = 1;
  for (int64_t dim : dims) {
    if (__builtin_mul_overflow(product, dim, &product)) {
      Throw(ErrorCode::kInvalid, "shape {}: the number of values does not fit in 63 bits",
            whole.ToString());
    }
  }
  return product;
}

}  // namespace

Shape::Shape(std::span<const int64_t> dims) {
  if (dims.size() > kRankMax) {
    Throw(ErrorCode::kInvalid, "a shape has at most {} dimensions, found {}", kRankMax,
          dims.size());
  }
  for (int64_t dim : dims) {
    if (dim < 0) {
      Throw(ErrorCode::kInvalid, "shape [{}]: dimensions must not be negative",
            fmt::join(dims, ", "));
    }
    dims_[rank_++] = dim;
  }
}

int64_t Shape::NumValues() const { return Product(dims(), *this); }

int64_t Shape::NumRows() const {
  return rank_ == 0 ? 1 : Product(dims().first(static_cast<size_t>(rank_ - 1)), *this);
}

std::string Shape::ToString() const { return fmt::format("[{}]", fmt::join(dims(), ", ")); }

}  // namespace retort
