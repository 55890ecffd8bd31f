#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "retort/base/json.h"
#include "retort/pipeline/problem.h"

namespace retort {

// Bounds of a pipeline file. Anchors and aliases count as often as they are used.
inline constexpr size_t kYamlBytesMax = size_t{16} << 20;
inline constexpr size_t kYamlNodesMax = 200'000;
inline constexpr int kYamlDepthMax = 64;

// A YAML document as written: keys in order, each scalar with its place and whether it was quoted.
struct YamlNode {
  enum class Kind { kScalar, kList, kMap };

  Kind kind = Kind::kScalar;
  Mark mark;
  std::string text;                // of a scalar
  bool plain = false;              // scalar without quotes: may be a number, a truth value or null
  std::vector<YamlNode> items;     // of a list; values of a map
  std::vector<YamlNode> map_keys;  // of a map, scalars; as many as items

  const YamlNode* Find(std::string_view key) const;
  YamlNode* Find(std::string_view key);
  bool IsNull() const;
};

// Parses one document. Throws Error{kInvalid} "file:line: reason" for a syntax error, a duplicate
// key, a key that is no scalar, a tag, more than one document, or a bound exceeded. An empty text
// is a null scalar.
YamlNode ParseYaml(std::string_view text, const std::string& file);

// The JSON value: a plain scalar by YAML 1.2's core schema (null, bool, integer, number, text), a
// quoted one as text.
Json YamlToJson(const YamlNode& node);

// The first number of which YamlToJson would keep nothing like it: an integer beyond 64 bits, one
// nearer to zero than a double can be, infinity, or not a number. Null if there is none.
const YamlNode* FindLossyNumber(const YamlNode& node);

// "a map", "a list", "the text 'abc'", "the number 3" ... for messages.
std::string DescribeNode(const YamlNode& node);

}  // namespace retort
