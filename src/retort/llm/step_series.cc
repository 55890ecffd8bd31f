#include "retort/llm/step_series.h"

namespace retort {

void StepSeries::Add(const StepPoint& now) {
  latest_ = now;
  if (now.num_steps % stride_ != 0) return;
  points_.push_back(now);
  if (points_.size() < kPointsMax) return;
  stride_ *= 2;
  size_t kept = 0;
  for (const StepPoint& point : points_) {
    if (point.num_steps % stride_ == 0) points_[kept++] = point;
  }
  points_.resize(kept);
}

std::vector<StepPoint> StepSeries::points() const {
  std::vector<StepPoint> points = points_;
  if (latest_.num_steps > 0 && (points.empty() || points.back().num_steps != latest_.num_steps)) {
    points.push_back(latest_);
  }
  return points;
}

double MeanSequencesUntil(std::span<const StepPoint> points, uint64_t StepPoint::*tokens,
                          double share) {
  if (points.empty()) return 0;
  const double enough = share * static_cast<double>(points.back().*tokens);
  for (const StepPoint& point : points) {
    if (static_cast<double>(point.*tokens) < enough) continue;
    return static_cast<double>(point.num_step_sequences) / static_cast<double>(point.num_steps);
  }
  return 0;
}

}  // namespace retort
