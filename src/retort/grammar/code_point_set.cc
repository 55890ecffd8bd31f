#include "retort/grammar/code_point_set.h"

#include <algorithm>

namespace retort::grammar {

CodePointSet::CodePointSet(std::initializer_list<CodePointRange> ranges) : ranges_(ranges) {
  Normalize();
}

CodePointSet::CodePointSet(std::vector<CodePointRange> ranges) : ranges_(std::move(ranges)) {
  Normalize();
}

const CodePointSet& CodePointSet::Any() {
  static const CodePointSet any{{0, kSurrogateFirst - 1}, {kSurrogateLast + 1, kCodePointMax}};
  return any;
}

void CodePointSet::Normalize() {
  std::erase_if(ranges_, [](const CodePointRange& range) { return range.first > range.last; });
  std::sort(ranges_.begin(), ranges_.end(),
            [](const CodePointRange& a, const CodePointRange& b) { return a.first < b.first; });
  size_t out = 0;
  for (const CodePointRange& range : ranges_) {
    if (out > 0 && range.first <= ranges_[out - 1].last + 1) {
      ranges_[out - 1].last = std::max(ranges_[out - 1].last, range.last);
    } else {
      ranges_[out++] = range;
    }
  }
  ranges_.resize(out);
}

bool CodePointSet::Contains(uint32_t code_point) const {
  const auto it = std::lower_bound(
      ranges_.begin(), ranges_.end(), code_point,
      [](const CodePointRange& range, uint32_t value) { return range.last < value; });
  return it != ranges_.end() && it->first <= code_point;
}

CodePointSet CodePointSet::Union(const CodePointSet& other) const {
  std::vector<CodePointRange> ranges = ranges_;
  ranges.insert(ranges.end(), other.ranges_.begin(), other.ranges_.end());
  return CodePointSet(std::move(ranges));
}

CodePointSet CodePointSet::Intersect(const CodePointSet& other) const {
  CodePointSet result;
  size_t i = 0;
  size_t j = 0;
  while (i < ranges_.size() && j < other.ranges_.size()) {
    const uint32_t first = std::max(ranges_[i].first, other.ranges_[j].first);
    const uint32_t last = std::min(ranges_[i].last, other.ranges_[j].last);
    if (first <= last) result.ranges_.push_back({first, last});
    if (ranges_[i].last < other.ranges_[j].last) {
      ++i;
    } else {
      ++j;
    }
  }
  return result;
}

CodePointSet CodePointSet::Complement() const {
  std::vector<CodePointRange> gaps;
  uint32_t next = 0;
  for (const CodePointRange& range : ranges_) {
    if (range.first > next) gaps.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kCodePointMax) gaps.push_back({next, kCodePointMax});
  return CodePointSet(std::move(gaps)).Intersect(Any());
}

}  // namespace retort::grammar
