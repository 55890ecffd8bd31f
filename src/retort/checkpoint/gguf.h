#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "retort/checkpoint/weight_file.h"

namespace retort {

// Bounds on what a GGUF header may ask for. The largest published vocabularies need about 1.4
// million array elements in all; headers have fewer than a hundred keys.
inline constexpr uint64_t kGgufKeysMax = 4096;
inline constexpr uint64_t kGgufArrayElementsMax = uint64_t{1} << 22;
inline constexpr uint64_t kGgufNameBytesMax = 65535;
inline constexpr uint64_t kGgufAlignmentMax = uint64_t{1} << 20;
inline constexpr int kGgufArrayDepthMax = 4;

// Reads a GGUF file, version 2 or 3, little-endian. `metadata` holds every key-value, numbers as
// JSON numbers and arrays as JSON arrays; shapes are turned to outermost first. `bytes` is the
// whole file and must outlive the result; `origin` names it in errors. Throws Error{kCorrupt} for a
// file that is cut off or contradicts itself (counts, lengths, duplicates, alignment, offsets, rows
// that are no whole number of blocks), {kUnsupported} for version 1, big-endian files and files
// split in parts. A tensor whose type this build cannot compute with is listed as kUnsupported.
WeightFile ParseGguf(std::span<const std::byte> bytes, std::string_view origin);

}  // namespace retort
