#include "retort/pipeline/node_reader.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace retort {

std::string DidYouMean(std::string_view word, const std::vector<std::string>& names) {
  const std::string nearest = NearestName(word, names);
  return nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest);
}

std::optional<std::string> ReadText(const YamlNode& node, const std::string& label,
                                    Problems& problems) {
  if (node.kind == YamlNode::Kind::kScalar && !node.IsNull()) return node.text;
  problems.Add(node.mark, "'{}' must be text, found {}", label, DescribeNode(node));
  return std::nullopt;
}

std::optional<bool> ReadBool(const YamlNode& node, const std::string& label, Problems& problems) {
  const Json value = node.kind == YamlNode::Kind::kScalar ? YamlToJson(node) : Json();
  if (value.is_boolean()) return value.get<bool>();
  problems.Add(node.mark, "'{}' must be true or false, found {}", label, DescribeNode(node));
  return std::nullopt;
}

std::optional<int64_t> ReadInt(const YamlNode& node, const std::string& label, int64_t min,
                               int64_t max, Problems& problems) {
  const Json value = node.kind == YamlNode::Kind::kScalar ? YamlToJson(node) : Json();
  // A number beyond int64 is an unsigned one here, and out of any range.
  if (value.is_number_integer() && !(value.is_number_unsigned() && value > INT64_MAX)) {
    const auto number = value.get<int64_t>();
    if (number >= min && number <= max) return number;
  }
  problems.Add(node.mark, "'{}' must be an integer from {} to {}, found {}", label, min, max,
               DescribeNode(node));
  return std::nullopt;
}

std::optional<uint64_t> ReadSeed(const YamlNode& node, const std::string& label,
                                 Problems& problems) {
  const Json value = node.kind == YamlNode::Kind::kScalar ? YamlToJson(node) : Json();
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_number_integer() && value.get<int64_t>() >= 0) return value.get<uint64_t>();
  problems.Add(node.mark, "'{}' must be an integer from 0 to 2^64 - 1, found {}", label,
               DescribeNode(node));
  return std::nullopt;
}

std::optional<double> ReadFloat(const YamlNode& node, const std::string& label,
                                Problems& problems) {
  const Json value = node.kind == YamlNode::Kind::kScalar ? YamlToJson(node) : Json();
  if (value.is_number() && std::isfinite(value.get<double>())) return value.get<double>();
  problems.Add(node.mark, "'{}' must be a finite number, found {}", label, DescribeNode(node));
  return std::nullopt;
}

std::optional<std::string> ReadChoice(const YamlNode& node, const std::string& label,
                                      std::initializer_list<std::string_view> choices,
                                      Problems& problems) {
  if (node.kind == YamlNode::Kind::kScalar &&
      std::find(choices.begin(), choices.end(), node.text) != choices.end()) {
    return node.text;
  }
  problems.Add(node.mark, "'{}' must be one of {}, found {}", label, fmt::join(choices, ", "),
               DescribeNode(node));
  return std::nullopt;
}

std::optional<std::vector<std::string>> ReadTexts(const YamlNode& node, const std::string& label,
                                                  Problems& problems) {
  if (node.kind == YamlNode::Kind::kScalar && !node.IsNull()) {
    return std::vector<std::string>{node.text};
  }
  std::vector<std::string> texts;
  bool good = node.kind == YamlNode::Kind::kList;
  for (const YamlNode& item : node.items) {
    good = good && item.kind == YamlNode::Kind::kScalar && !item.IsNull();
    if (good) texts.push_back(item.text);
  }
  if (good) return texts;
  problems.Add(
      node.mark, "'{}' must be a text or a list of texts, found {}", label,
      node.kind == YamlNode::Kind::kList ? "a list with other things in it" : DescribeNode(node));
  return std::nullopt;
}

MapReader::MapReader(const YamlNode& node, std::string label, Problems& problems)
    : label_(std::move(label)), problems_(problems) {
  if (node.kind == YamlNode::Kind::kMap) {
    node_ = &node;
  } else if (!node.IsNull()) {
    problems_.Add(node.mark, "'{}' must be a map, found {}", label_, DescribeNode(node));
  }
}

const YamlNode* MapReader::Take(std::string_view key) {
  known_.emplace_back(key);
  if (node_ == nullptr) return nullptr;
  const YamlNode* value = node_->Find(key);
  if (value == nullptr) return nullptr;
  taken_.emplace(key);
  return value->IsNull() ? nullptr : value;
}

std::vector<std::pair<YamlNode, YamlNode>> MapReader::TakeRest() {
  std::vector<std::pair<YamlNode, YamlNode>> rest;
  if (node_ == nullptr) return rest;
  for (size_t i = 0; i < node_->items.size(); ++i) {
    if (taken_.insert(node_->map_keys[i].text).second) {
      rest.emplace_back(node_->map_keys[i], node_->items[i]);
    }
  }
  return rest;
}

void MapReader::Finish() {
  for (const auto& [key, value] : TakeRest()) {
    problems_.Add(key.mark, "'{}' has no key '{}'{}; it knows {}", label_, key.text,
                  DidYouMean(key.text, known_), fmt::join(known_, ", "));
  }
}

}  // namespace retort
