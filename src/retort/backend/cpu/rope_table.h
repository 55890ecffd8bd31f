#pragma once

#include <cstdint>
#include <vector>

#include "retort/backend/device.h"

// Private to backend/cpu.
namespace retort::cpu {

// Cosines and sines of a step's rows: computed when the first layer asks, read by all others.
class RopeTables {
 public:
  struct Table {
    RopeSpec spec;
    bool is_filled = false;
    int64_t width = 0;  // values of one row's cosines, and of its sines
    std::vector<float> values;

    const float* Cosines(int64_t row) const { return values.data() + 2 * row * width; }
    const float* Sines(int64_t row) const { return Cosines(row) + width; }
  };

  // Forgets the rows, for another plan. Keeps the memory.
  void Clear();
  // The table of `spec` for the rows of `plan`, laid out for VectorKernels::rotate.
  const Table& Of(const RopeSpec& spec, const BatchPlan& plan);

 private:
  std::vector<Table> tables_;  // at most kNumTablesMax; more specs take turns
  size_t next_ = 0;
};

}  // namespace retort::cpu
