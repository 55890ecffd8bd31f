#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "retort/pipeline/problem.h"
#include "retort/pipeline/yaml_node.h"

namespace retort {

// Typed reading of YAML nodes: each returns nothing, after adding a problem that names `label`,
// when the node is not what is expected.
std::optional<std::string> ReadText(const YamlNode& node, const std::string& label,
                                    Problems& problems);
std::optional<bool> ReadBool(const YamlNode& node, const std::string& label, Problems& problems);
std::optional<int64_t> ReadInt(const YamlNode& node, const std::string& label, int64_t min,
                               int64_t max, Problems& problems);
std::optional<uint64_t> ReadSeed(const YamlNode& node, const std::string& label,
                                 Problems& problems);
// A finite number.
std::optional<double> ReadFloat(const YamlNode& node, const std::string& label, Problems& problems);
std::optional<std::string> ReadChoice(const YamlNode& node, const std::string& label,
                                      std::initializer_list<std::string_view> choices,
                                      Problems& problems);
// A text, or a list of texts.
std::optional<std::vector<std::string>> ReadTexts(const YamlNode& node, const std::string& label,
                                                  Problems& problems);

// The keys of one map: each is taken once; what is left over is unknown.
class MapReader {
 public:
  // If `node` is not a map (and not null, which is an empty one), adds a problem and has no keys.
  MapReader(const YamlNode& node, std::string label, Problems& problems);

  // The value of a key, or null. An explicit null counts as not given.
  const YamlNode* Take(std::string_view key);
  std::string Label(std::string_view key) const { return label_ + "." + std::string(key); }

  // Keys not taken so far, key and value, in order.
  std::vector<std::pair<YamlNode, YamlNode>> TakeRest();
  // Adds a problem for each key not taken, with the nearest of those that could have been.
  void Finish();

 private:
  const YamlNode* node_ = nullptr;
  std::string label_;
  Problems& problems_;
  std::vector<std::string> known_;
  std::set<std::string> taken_;
};

// " (did you mean 'x'?)" for a likely typo, else "".
std::string DidYouMean(std::string_view word, const std::vector<std::string>& names);

}  // namespace retort
