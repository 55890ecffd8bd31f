#include "retort/backend/cpu/rope_table.h"

#include <algorithm>
#include <cmath>

#include "retort/backend/rope.h"

namespace retort::cpu {
namespace {

// Models have one rotation, or one for local and one for global layers.
constexpr size_t kNumTablesMax = 4;

bool IsSame(const RopeSpec& a, const RopeSpec& b) {
  return a.scale == b.scale && a.interleaved == b.interleaved &&
         a.dynamic_context_tokens == b.dynamic_context_tokens &&
         a.dynamic_factor == b.dynamic_factor && a.dynamic_theta == b.dynamic_theta &&
         a.inverse_frequencies == b.inverse_frequencies;
}

void FillRow(const RopeSpec& spec, int32_t position, const std::vector<float>& frequencies,
             float* cosines, float* sines) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float angle = static_cast<float>(position) * frequencies[i];
    const float cosine = std::cos(angle) * spec.scale;
    const float sine = std::sin(angle) * spec.scale;
    if (spec.interleaved) {
      cosines[2 * i] = cosines[2 * i + 1] = cosine;
      sines[2 * i] = -sine;
      sines[2 * i + 1] = sine;
    } else {
      cosines[i] = cosine;
      sines[i] = sine;
    }
  }
}

void Fill(const BatchPlan& plan, RopeTables::Table* table) {
  const RopeSpec& spec = table->spec;
  std::vector<float> frequencies(spec.inverse_frequencies.size());
  table->width = static_cast<int64_t>(frequencies.size()) * (spec.interleaved ? 2 : 1);
  table->values.resize(static_cast<size_t>(2 * plan.num_tokens() * table->width));
  for (int64_t s = 0; s < plan.num_sequences(); ++s) {
    const int32_t prompt_tokens = plan.prompt_tokens.empty() ? 0 : plan.prompt_tokens[s];
    for (int32_t row = plan.row_begin[s]; row < plan.row_begin[s + 1]; ++row) {
      const int32_t position = plan.positions[row];
      DynamicInverseFrequencies(spec, std::max(position + 1, prompt_tokens), frequencies);
      float* cosines = table->values.data() + 2 * row * table->width;
      FillRow(spec, position, frequencies, cosines, cosines + table->width);
    }
  }
  table->is_filled = true;
}

}  // namespace

void RopeTables::Clear() {
  for (Table& table : tables_) table.is_filled = false;
}

const RopeTables::Table& RopeTables::Of(const RopeSpec& spec, const BatchPlan& plan) {
  for (Table& table : tables_) {
    if (!IsSame(table.spec, spec)) continue;
    if (!table.is_filled) Fill(plan, &table);
    return table;
  }
  if (tables_.size() < kNumTablesMax) {
    tables_.emplace_back();
    next_ = tables_.size() - 1;
  } else {
    next_ = (next_ + 1) % kNumTablesMax;
  }
  tables_[next_].spec = spec;
  Fill(plan, &tables_[next_]);
  return tables_[next_];
}

}  // namespace retort::cpu
