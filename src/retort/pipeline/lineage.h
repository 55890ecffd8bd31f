#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "retort/base/digest.h"

namespace retort {

// 128 bits of a SHA-256: names a row by everything that made it, or a record of the ledger.
struct LineageKey {
  std::array<unsigned char, 16> bytes{};

  auto operator<=>(const LineageKey&) const = default;

  std::string Hex() const;
  std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  // 64 of the bits.
  uint64_t Bits() const;
};

struct LineageKeyHash {
  size_t operator()(const LineageKey& key) const { return static_cast<size_t>(key.Bits()); }
};

// Ends the digest.
LineageKey FinishKey(Sha256& digest);

// Where a row stands in the run's order: the number of its family (a row of a source or of a step
// that saw all rows, with all that became of it), then its index at each expansion.
using RowPath = std::vector<uint32_t>;

// "12.0.3".
std::string PathText(uint64_t family, const RowPath& path);

}  // namespace retort
