#include "retort/pipeline/yaml_node.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "retort/base/text_file.h"
#include "retort/dataset/line_reader.h"

namespace retort {
namespace {

// Text that aliases may add up to.
constexpr size_t kYamlTextBytesMax = 4 * kYamlBytesMax;

[[noreturn]] void ThrowAt(const Mark& mark, std::string_view message) {
  Throw(ErrorCode::kInvalid, "{}: {}", MarkText(mark), message);
}

struct Weight {
  size_t nodes = 1;
  size_t text_bytes = 0;
  int depth = 1;
};

Weight WeightOf(const YamlNode& node) {
  Weight weight;
  weight.text_bytes = node.text.size();
  const auto add = [&](const YamlNode& child) {
    const Weight inner = WeightOf(child);
    weight.nodes += inner.nodes;
    weight.text_bytes += inner.text_bytes;
    weight.depth = std::max(weight.depth, inner.depth + 1);
  };
  for (const YamlNode& child : node.items) add(child);
  for (const YamlNode& child : node.map_keys) add(child);
  return weight;
}

// Builds the tree from yaml-cpp's events, within the bounds.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string file) : file_(std::move(file)) {}

  YamlNode TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    OnScalar(mark, "?", anchor, "");
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) ThrowAt(MarkOf(mark), "an alias inside the node it stands for");
    const YamlNode& node = NodeAt(found->second);
    const Weight weight = WeightOf(node);
    Count(mark, weight);
    if (static_cast<int>(frames_.size()) + weight.depth > kYamlDepthMax) ThrowDepth(mark);
    Attach(YamlNode(node));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckTag(mark, tag);
    YamlNode node;
    node.kind = YamlNode::Kind::kScalar;
    node.mark = MarkOf(mark);
    node.text = value;
    node.plain = tag != "!";  // yaml-cpp's way of saying "quoted"
    Count(mark, WeightOf(node));
    Complete(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kList);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapEnd() override { Close(); }

 private:
  // Where a node is in the tree: at each level the place among the items, or among the keys.
  struct Step {
    uint32_t index : 31;  // of at most kYamlNodesMax
    uint32_t is_key : 1;

    bool operator==(const Step&) const = default;
  };
  using Path = std::vector<Step>;

  struct Frame {
    YamlNode node;
    YAML::anchor_t anchor = 0;
    std::optional<YamlNode> key;  // of a map, read but without its value yet
    std::set<std::string> seen;
  };

  Mark MarkOf(const YAML::Mark& mark) const { return {file_, mark.line + 1, mark.column + 1}; }

  void CheckTag(const YAML::Mark& mark, const std::string& tag) const {
    if (tag.empty() || tag == "?" || tag == "!") return;
    ThrowAt(MarkOf(mark),
            fmt::format("the tag '{}': a pipeline file is plain data, without tags", tag));
  }

  [[noreturn]] void ThrowDepth(const YAML::Mark& mark) const {
    ThrowAt(MarkOf(mark), fmt::format("nested deeper than {} levels", kYamlDepthMax));
  }

  void Count(const YAML::Mark& mark, const Weight& weight) {
    num_nodes_ += weight.nodes;
    text_bytes_ += weight.text_bytes;
    if (num_nodes_ > kYamlNodesMax || text_bytes_ > kYamlTextBytesMax) {
      ThrowAt(MarkOf(mark), fmt::format("more than {} nodes or {} bytes, aliases counted as often "
                                        "as they are used",
                                        kYamlNodesMax, kYamlTextBytesMax));
    }
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Kind kind) {
    CheckTag(mark, tag);
    if (static_cast<int>(frames_.size()) >= kYamlDepthMax) ThrowDepth(mark);
    Count(mark, {});
    Frame frame;
    frame.node.kind = kind;
    frame.node.mark = MarkOf(mark);
    frame.anchor = anchor;
    frames_.push_back(std::move(frame));
  }

  void Close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    Complete(std::move(frame.node), frame.anchor);
  }

  void Complete(YamlNode node, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = PathOfNext();
    Attach(std::move(node));
  }

  // Of the node that Attach() is to take next: it stays true, as nothing but the end of the lists
  // is changed. A node itself would be copied once for each anchor around it.
  Path PathOfNext() const {
    Path path;
    for (const Frame& frame : frames_) path.push_back(NextStep(frame));
    return path;
  }

  static Step NextStep(const Frame& frame) {
    const bool is_key = frame.node.kind == YamlNode::Kind::kMap && !frame.key;
    const size_t index = is_key ? frame.node.map_keys.size() : frame.node.items.size();
    return {static_cast<uint32_t>(index), is_key ? 1U : 0U};
  }

  const YamlNode& NodeAt(const Path& path) const {
    // Down the collections that are still open, then through those that are whole.
    size_t level = 0;
    while (level + 1 < frames_.size() && level < path.size() &&
           path[level] == NextStep(frames_[level])) {
      ++level;
    }
    const YamlNode* node = &frames_[level].node;
    for (; level < path.size(); ++level) {
      const Step step = path[level];
      if (step.is_key != 0 && step.index == node->map_keys.size()) {
        return *frames_[level].key;  // its value is not there yet
      }
      node = step.is_key != 0 ? &node->map_keys[step.index] : &node->items[step.index];
    }
    return *node;
  }

  void Attach(YamlNode node) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.kind == YamlNode::Kind::kList) {
      frame.node.items.push_back(std::move(node));
    } else if (frame.key) {
      frame.node.map_keys.push_back(std::move(*frame.key));
      frame.key.reset();
      frame.node.items.push_back(std::move(node));
    } else {
      if (node.kind != YamlNode::Kind::kScalar) {
        ThrowAt(node.mark, "a map key must be a single word or text");
      }
      if (node.IsNull()) {
        ThrowAt(node.mark, "a map key is missing (null): a key that is this word stands in quotes");
      }
      if (node.plain && node.text == "<<") {
        ThrowAt(node.mark, "'<<' (merging maps) is not understood: write the keys out");
      }
      if (!frame.seen.insert(node.text).second) {
        ThrowAt(node.mark, fmt::format("the key '{}' is given twice in one map", node.text));
      }
      frame.key = std::move(node);
    }
  }

  std::string file_;
  YamlNode root_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Path> anchors_;
  size_t num_nodes_ = 0;
  size_t text_bytes_ = 0;
};

// JSON writes a character beyond U+FFFF as two escapes, of which YAML knows neither: as one, which
// YAML knows. `json` is valid JSON, where a backslash is nowhere but in strings.
std::string JoinSurrogates(std::string_view json) {
  const auto unit_at = [&](size_t i) {  // the number of an escape \uXXXX, else 0
    uint32_t unit = 0;
    if (json.substr(i, 2) == "\\u" && i + 6 <= json.size()) {
      std::from_chars(json.data() + i + 2, json.data() + i + 6, unit, 16);
    }
    return unit;
  };
  std::string yaml;
  size_t copied = 0;
  for (size_t i = json.find('\\'); i != std::string_view::npos; i = json.find('\\', i)) {
    const uint32_t high = unit_at(i);
    if (high < 0xD800 || high > 0xDBFF) {
      i += 2;  // past what is escaped, which may be a backslash
      continue;
    }
    const uint32_t low = unit_at(i + 6);  // in JSON a low one follows a high one
    yaml.append(json.substr(copied, i - copied));
    yaml += fmt::format("\\U{:08X}", 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
    i += 12;
    copied = i;
  }
  return yaml.append(json.substr(copied));
}

bool IsJsonObject(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{' && Json::accept(text);
}

bool IsOneOf(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

std::optional<Json> ParseInteger(std::string_view text) {
  int base = 10;
  std::string_view digits = text;
  if (digits.starts_with("0x")) {
    base = 16;
    digits.remove_prefix(2);
  } else if (digits.starts_with("0o")) {
    base = 8;
    digits.remove_prefix(2);
  } else if (digits.starts_with('+')) {
    digits.remove_prefix(1);
  }
  if (digits.empty() || ((base != 10 || digits != text) && digits[0] == '-')) return std::nullopt;
  const char* end = digits.data() + digits.size();
  int64_t number = 0;
  if (const auto [stop, error] = std::from_chars(digits.data(), end, number, base);
      error == std::errc() && stop == end) {
    return Json(number);
  }
  uint64_t large = 0;
  if (const auto [stop, error] = std::from_chars(digits.data(), end, large, base);
      error == std::errc() && stop == end) {
    return Json(large);
  }
  return std::nullopt;
}

std::optional<Json> ParseFloat(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with('+') || digits.starts_with('-')) digits.remove_prefix(1);
  if (IsOneOf(digits, {".inf", ".Inf", ".INF"})) {
    return Json(text[0] == '-' ? -INFINITY : INFINITY);
  }
  if (IsOneOf(text, {".nan", ".NaN", ".NAN"})) return Json(std::nan(""));
  // The schema wants a digit or a point first: from_chars would also take "inf" and "nan".
  if (digits.empty() ||
      !(std::isdigit(static_cast<unsigned char>(digits[0])) || digits[0] == '.')) {
    return std::nullopt;
  }
  const char* end = digits.data() + digits.size();
  double number = 0;
  const auto [stop, error] = std::from_chars(digits.data(), end, number);
  if (stop != end || (error != std::errc() && error != std::errc::result_out_of_range)) {
    return std::nullopt;
  }
  if (error == std::errc::result_out_of_range) {
    // from_chars does not say which end of the range it is.
    number = std::strtod(std::string(digits).c_str(), nullptr);
  }
  return Json(text[0] == '-' ? -number : number);
}

Json ScalarToJson(const YamlNode& node) {
  if (!node.plain) return node.text;
  if (node.IsNull()) return nullptr;
  if (IsOneOf(node.text, {"true", "True", "TRUE"})) return true;
  if (IsOneOf(node.text, {"false", "False", "FALSE"})) return false;
  if (auto number = ParseInteger(node.text)) return *number;
  if (auto number = ParseFloat(node.text)) return *number;
  return node.text;
}

// Advice on yaml-cpp's commonest complaints.
std::string_view YamlAdvice(std::string_view complaint) {
  const auto is_about = [&](std::string_view words) {
    return complaint.find(words) != std::string_view::npos;
  };
  // It names the number of half a surrogate pair only.
  if (is_about("invalid unicode")) {
    return "; write the character itself, or \\U and its eight digits";
  }
  if (is_about("illegal map value") || is_about("flow")) {
    return "; a text that holds ': ', or begins with '{' or '[', belongs in quotes";
  }
  if (is_about("end of sequence not found") || is_about("end of map not found")) {
    return "; look at how far this line is indented";
  }
  return "";
}

}  // namespace

const YamlNode* YamlNode::Find(std::string_view key) const {
  for (size_t i = 0; i < map_keys.size(); ++i) {
    if (map_keys[i].text == key) return &items[i];
  }
  return nullptr;
}

YamlNode* YamlNode::Find(std::string_view key) {
  return const_cast<YamlNode*>(static_cast<const YamlNode*>(this)->Find(key));
}

bool YamlNode::IsNull() const {
  return kind == Kind::kScalar && plain && IsOneOf(text, {"", "~", "null", "Null", "NULL"});
}

YamlNode ParseYaml(std::string_view text, const std::string& file) {
  if (text.size() > kYamlBytesMax) {
    Throw(ErrorCode::kInvalid, "{}: {} bytes, a pipeline file has at most {}", file, text.size(),
          kYamlBytesMax);
  }
  const size_t bad_byte = FindBadUtf8(text);
  if (bad_byte != std::string_view::npos || text.find('\0') != std::string_view::npos) {
    const auto before = text.substr(0, std::min(bad_byte, text.find('\0')));
    ThrowAt({file, static_cast<int>(1 + std::count(before.begin(), before.end(), '\n')), 1},
            "not UTF-8 text");
  }
  TreeBuilder builder(file);
  try {
    std::istringstream stream{IsJsonObject(text) ? JoinSurrogates(text) : std::string(text)};
    YAML::Parser parser(stream);
    if (parser.HandleNextDocument(builder)) {
      TreeBuilder second(file);
      if (parser.HandleNextDocument(second)) {
        Throw(ErrorCode::kInvalid, "{}: more than one YAML document", file);
      }
    }
  } catch (const YAML::Exception& error) {
    // At the end of the file it names the line behind the last.
    const auto num_lines = static_cast<int>(std::count(text.begin(), text.end(), '\n'));
    const int line = std::min(error.mark.line + 1, num_lines + (text.ends_with('\n') ? 0 : 1));
    ThrowAt({file, std::max(line, 1), error.mark.column + 1},
            fmt::format("not valid YAML: {}{}", error.msg, YamlAdvice(error.msg)));
  }
  YamlNode root = builder.TakeRoot();
  if (root.kind == YamlNode::Kind::kScalar && root.mark.file.empty()) {
    root.plain = true;  // nothing there
    root.mark = {file, 1, 1};
  }
  return root;
}

Json YamlToJson(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kScalar:
      return ScalarToJson(node);
    case YamlNode::Kind::kList: {
      Json list = Json::array();
      for (const YamlNode& item : node.items) list.push_back(YamlToJson(item));
      return list;
    }
    case YamlNode::Kind::kMap: {
      Json::object_t map;
      for (size_t i = 0; i < node.items.size(); ++i) {
        // Keys were checked to be distinct.
        map.Json::object_t::Container::emplace_back(node.map_keys[i].text,
                                                    YamlToJson(node.items[i]));
      }
      return map;
    }
  }
  Throw(ErrorCode::kInternal, "no such YAML node");
}

const YamlNode* FindLossyNumber(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kScalar) {
    for (const YamlNode& item : node.items) {
      if (const YamlNode* found = FindLossyNumber(item)) return found;
    }
    return nullptr;
  }
  const Json value = ScalarToJson(node);
  if (!value.is_number_float()) return nullptr;
  const auto number = value.get<double>();
  const std::string_view digits =
      std::string_view(node.text).substr(0, node.text.find_first_of("eE"));
  const bool integer = node.text.find_first_not_of("+-0123456789") == std::string::npos;
  const bool became_zero =
      number == 0 && digits.find_first_of("123456789") != std::string_view::npos;
  return integer || became_zero || !std::isfinite(number) ? &node : nullptr;
}

std::string DescribeNode(const YamlNode& node) {
  if (node.kind == YamlNode::Kind::kList) return "a list";
  if (node.kind == YamlNode::Kind::kMap) return "a map";
  const std::string text = node.text.size() > 60 ? node.text.substr(0, 57) + "..." : node.text;
  const Json value = ScalarToJson(node);
  if (value.is_null()) return "nothing";
  if (value.is_boolean()) return "the truth value " + text;
  if (value.is_number()) return "the number " + text;
  return "the text '" + text + "'";
}

}  // namespace retort
