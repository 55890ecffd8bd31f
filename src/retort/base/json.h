#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace retort {

// JSON with keys in the order they were written: rows, metadata, templates and reports all keep it.
using Json = nlohmann::ordered_json;

// Nesting deeper than this is refused: writing and walking JSON recurse.
inline constexpr int kJsonDepthMax = 256;

// Parses strict JSON (UTF-8, no comments). Throws Error{kInvalid} naming `origin`, line and column
// on a syntax error, bad UTF-8, nesting beyond kJsonDepthMax, or a duplicate key in one object.
Json ParseJson(std::string_view text, std::string_view origin);

// Compact text. Bytes that are not UTF-8 (a hostile checkpoint's strings) become U+FFFD.
std::string DumpJson(const Json& value);

// Nearest name to `word` among `names` within an edit distance that makes a typo likely, or "".
template <typename Names>
std::string NearestName(std::string_view word, const Names& names);

// Edit distance with adjacent transpositions. O(|a|·|b|).
size_t EditDistance(std::string_view a, std::string_view b);

template <typename Names>
std::string NearestName(std::string_view word, const Names& names) {
  std::string best;
  size_t best_distance = word.size() / 3 + 2;  // beyond this it is another word, not a typo
  for (const auto& name : names) {
    const size_t distance = EditDistance(word, name);
    if (distance < best_distance) {
      best_distance = distance;
      best = std::string(name);
    }
  }
  return best;
}

}  // namespace retort
