#include "retort/pipeline/config_overrides.h"

#include <charconv>
#include <cmath>

#include "retort/pipeline/node_reader.h"

namespace retort {
namespace {

void SetMark(YamlNode& node, const Mark& mark) {
  node.mark = mark;
  for (YamlNode& item : node.items) SetMark(item, mark);
  for (YamlNode& key : node.map_keys) SetMark(key, mark);
}

std::vector<std::string> SplitPath(std::string_view path) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t dot = path.find('.');
    parts.emplace_back(path.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    path.remove_prefix(dot + 1);
  }
}

// The value of `key` in a map, added as null if it is not there.
YamlNode& Child(YamlNode& map, const std::string& key, const Mark& mark) {
  if (YamlNode* found = map.Find(key)) return *found;
  YamlNode name;
  name.text = key;
  name.mark = mark;
  YamlNode value;
  value.plain = true;
  value.mark = mark;
  map.map_keys.push_back(std::move(name));
  map.items.push_back(std::move(value));
  return map.items.back();
}

YamlNode* FindStep(YamlNode& root, const std::string& name, std::vector<std::string>& names) {
  YamlNode* steps = root.Find("steps");
  if (steps == nullptr || steps->kind != YamlNode::Kind::kList) return nullptr;
  for (YamlNode& step : steps->items) {
    const YamlNode* found = step.Find("name");
    if (found == nullptr) continue;
    if (found->text == name) return &step;
    names.push_back(found->text);
  }
  return nullptr;
}

// Where the path starts: the file's map for its own keys, else a step or a model. Removes the parts
// used.
YamlNode* FindStart(YamlNode& root, std::vector<std::string>& parts, const Mark& mark,
                    Problems& problems) {
  if (parts.size() == 1) {
    if (parts[0] == "seed" || parts[0] == "name" || parts[0] == "description") return &root;
    problems.Add(mark, "expected step.param=value, models.NAME.key=value or seed=value");
    return nullptr;
  }
  std::vector<std::string> names;
  YamlNode* start = nullptr;
  if (parts[0] == "models") {
    parts.erase(parts.begin());
    YamlNode* models = root.Find("models");
    if (models != nullptr && models->kind == YamlNode::Kind::kMap) {
      start = models->Find(parts[0]);
      for (const YamlNode& key : models->map_keys) names.push_back(key.text);
    }
    if (start == nullptr) {
      problems.Add(mark, "no model is named '{}'{}", parts[0], DidYouMean(parts[0], names));
      return nullptr;
    }
    if (start->kind == YamlNode::Kind::kScalar) {  // judge: NAME is short for {path: NAME}
      YamlNode map;
      map.kind = YamlNode::Kind::kMap;
      map.mark = start->mark;
      Child(map, "path", start->mark) = *start;
      *start = std::move(map);
    }
  } else {
    start = FindStep(root, parts[0], names);
    if (start == nullptr) {
      problems.Add(mark, "no step is named '{}'{}", parts[0], DidYouMean(parts[0], names));
      return nullptr;
    }
  }
  parts.erase(parts.begin());
  return start;
}

void ApplyOverride(const std::string& text, YamlNode& root, Problems& problems) {
  const Mark mark{"--set " + text, 0, 0};
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    problems.Add(mark, "expected step.param=value, models.NAME.key=value or seed=value");
    return;
  }
  YamlNode value = ParseYaml(std::string_view(text).substr(equals + 1), mark.file);
  SetMark(value, mark);
  std::vector<std::string> parts = SplitPath(std::string_view(text).substr(0, equals));
  YamlNode* node = FindStart(root, parts, mark, problems);
  if (node == nullptr) return;
  for (const std::string& part : parts) {
    if (part.empty()) {
      problems.Add(mark, "an empty name in the path '{}'", text.substr(0, equals));
      return;
    }
    if (node->IsNull()) {
      node->kind = YamlNode::Kind::kMap;
      node->text.clear();
    }
    if (node->kind != YamlNode::Kind::kMap) {
      problems.Add(mark, "'{}' cannot be set inside {}", part, DescribeNode(*node));
      return;
    }
    node = &Child(*node, part, mark);
  }
  *node = std::move(value);
}

struct Unit {
  std::string_view name;
  double factor;
};

// A number followed by one of the units (the first stands for none).
double ParseQuantity(std::string_view text, std::span<const Unit> units, std::string_view example) {
  const char* end = text.data() + text.size();
  double number = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && std::isfinite(number)) {
    const std::string_view unit(stop, static_cast<size_t>(end - stop));
    for (const Unit& known : units) {
      if (unit == known.name) return number * known.factor;
    }
  }
  Throw(ErrorCode::kInvalid, "expected {}, found '{}'", example, text);
}

}  // namespace

void ApplyOverrides(const ConfigOverrides& overrides, YamlNode& root, Problems& problems) {
  for (const std::string& text : overrides) {
    try {
      ApplyOverride(text, root, problems);
    } catch (const Error& error) {
      problems.Add({error.code(), Mark(), error.message(), false});
    }
  }
}

uint64_t ParseByteSize(std::string_view text) {
  constexpr Unit kUnits[] = {{"", 1},         {"B", 1},       {"KB", 1e3},     {"MB", 1e6},
                             {"GB", 1e9},     {"TB", 1e12},   {"KiB", 0x1p10}, {"MiB", 0x1p20},
                             {"GiB", 0x1p30}, {"TiB", 0x1p40}};
  constexpr std::string_view kExample = "a size such as 512MiB, 2GB or 4096";
  const double bytes = ParseQuantity(text, kUnits, kExample);
  if (bytes < 0 || bytes >= 0x1p63) {
    Throw(ErrorCode::kInvalid, "expected {}, found '{}'", kExample, text);
  }
  return static_cast<uint64_t>(bytes);
}

std::chrono::milliseconds ParseDuration(std::string_view text) {
  constexpr Unit kUnits[] = {{"", 1e3},   {"s", 1e3},    {"ms", 1},
                             {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}};
  constexpr std::string_view kExample = "a time such as 300ms, 5s, 5m, 2h, 30d or 0";
  const double ms = ParseQuantity(text, kUnits, kExample);
  if (ms < 0 || ms >= 0x1p53) {
    Throw(ErrorCode::kInvalid, "expected {}, found '{}'", kExample, text);
  }
  return std::chrono::milliseconds(static_cast<int64_t>(ms));
}

}  // namespace retort
