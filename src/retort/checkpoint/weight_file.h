#pragma once

#include <deque>
#include <string>
#include <vector>

#include "retort/base/json.h"
#include "retort/tensor/tensor_view.h"

namespace retort {

// What one weight file says it holds. Tensor names and bytes are views into the parsed bytes or
// into `names`; moving the object keeps them valid, copying would not.
struct WeightFile {
  WeightFile() = default;
  WeightFile(WeightFile&&) = default;
  WeightFile& operator=(WeightFile&&) = default;
  WeightFile(const WeightFile&) = delete;
  WeightFile& operator=(const WeightFile&) = delete;

  std::vector<TensorView> tensors;  // in the order of their bytes
  Json metadata = Json::object();
  std::deque<std::string> names;
};

}  // namespace retort
