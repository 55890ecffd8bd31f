#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace retort::grammar {

inline constexpr uint32_t kCodePointMax = 0x10FFFF;
inline constexpr uint32_t kSurrogateFirst = 0xD800;
inline constexpr uint32_t kSurrogateLast = 0xDFFF;

struct CodePointRange {
  uint32_t first = 0;
  uint32_t last = 0;  // inclusive
  bool operator==(const CodePointRange&) const = default;
};

// A set of Unicode scalar values (or of bytes, where a regular expression is over bytes): sorted,
// disjoint, non-adjacent ranges.
class CodePointSet {
 public:
  CodePointSet() = default;
  CodePointSet(std::initializer_list<CodePointRange> ranges);
  explicit CodePointSet(std::vector<CodePointRange> ranges);  // in any order, overlapping welcome

  static CodePointSet One(uint32_t code_point) { return {{code_point, code_point}}; }
  static const CodePointSet& Any();  // every scalar value: surrogates are none

  bool Contains(uint32_t code_point) const;
  bool empty() const { return ranges_.empty(); }
  const std::vector<CodePointRange>& ranges() const { return ranges_; }
  bool operator==(const CodePointSet&) const = default;

  CodePointSet Union(const CodePointSet& other) const;
  CodePointSet Intersect(const CodePointSet& other) const;
  CodePointSet Complement() const;  // within Any()

 private:
  void Normalize();
  std::vector<CodePointRange> ranges_;
};

}  // namespace retort::grammar
