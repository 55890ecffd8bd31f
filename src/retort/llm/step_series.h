#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace retort {

// What an engine had done after some step, counted from its start.
struct StepPoint {
  uint64_t num_steps = 0;
  uint64_t num_step_sequences = 0;  // summed over steps
  uint64_t batch_tokens = 0;        // computed, of prompts and completions
  uint64_t completion_tokens = 0;
  uint64_t busy_ns = 0;
};

// The course of a run in bounded memory: points at equal distances in steps; when there are
// kPointsMax, every second one is dropped and the distance doubles. Not thread-safe.
class StepSeries {
 public:
  static constexpr size_t kPointsMax = 2048;

  // `now` is the state after one more step.
  void Add(const StepPoint& now);
  // In order, the last one being the latest step.
  std::vector<StepPoint> points() const;

 private:
  std::vector<StepPoint> points_;
  StepPoint latest_;
  uint64_t stride_ = 1;
};

// Sequences per step, from the first point's origin until `share` of the tokens of the last point
// were done, by `tokens` (batch_tokens or completion_tokens). The end of a run, where the last
// sequences finish alone, says little of how well it was batched. 0 if there are no points.
double MeanSequencesUntil(std::span<const StepPoint> points, uint64_t StepPoint::*tokens,
                          double share);

}  // namespace retort
