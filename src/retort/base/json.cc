#include "retort/base/json.h"

#include <simdjson.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "retort/base/data_json.h"
#include "retort/base/error.h"
#include "retort/base/json_object.h"

namespace retort {
namespace {

// Which numbers may be rounded.
enum class Rounding {
  kAny,
  kDecimals,  // and these not to zero: ParseDataJson
};

struct TextPosition {
  size_t line;
  size_t column;
};

TextPosition PositionOf(std::string_view text, size_t offset) {
  offset = std::min(offset, text.size());
  const auto before = text.substr(0, offset);
  const size_t line = 1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
  const size_t line_begin = before.rfind('\n');
  return {line, line_begin == std::string_view::npos ? offset + 1 : offset - line_begin};
}

void CheckKeys(const Json::object_t& object, std::string_view origin) {
  if (object.size() < 2) return;
  std::vector<std::string_view> keys;
  keys.reserve(object.size());
  for (const auto& [key, value] : object) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  const auto found = std::adjacent_find(keys.begin(), keys.end());
  if (found != keys.end()) {
    Throw(ErrorCode::kInvalid, "{}: duplicate key \"{}\" in one JSON object", origin, *found);
  }
}

// What nlohmann's parser would make of it. Recurses as deep as the text is nested. Counts zeros
// that are doubles: one of them may have been another number, which only the text can tell.
Json FromParsed(const simdjson::dom::element& parsed, std::string_view origin,
                size_t& num_double_zeros) {
  using Type = simdjson::dom::element_type;
  switch (parsed.type()) {
    case Type::ARRAY: {
      Json::array_t array;
      for (const auto value : simdjson::dom::array(parsed)) {
        array.push_back(FromParsed(value, origin, num_double_zeros));
      }
      return array;
    }
    case Type::OBJECT: {
      Json::object_t object;
      for (const auto& [key, value] : simdjson::dom::object(parsed)) {
        // Whether the key was there before is for CheckKeys.
        AppendMember(object, std::string(key), FromParsed(value, origin, num_double_zeros));
      }
      CheckKeys(object, origin);
      return object;
    }
    case Type::STRING:
      return std::string(std::string_view(parsed));
    case Type::INT64: {
      const auto value = int64_t(parsed);
      return value < 0 ? Json(value) : Json(static_cast<uint64_t>(value));
    }
    case Type::UINT64:
      return uint64_t(parsed);
    case Type::DOUBLE: {
      const auto value = double(parsed);
      if (value == 0) ++num_double_zeros;
      return value;
    }
    case Type::BOOL:
      return bool(parsed);
    case Type::NULL_VALUE:
      break;
  }
  return nullptr;
}

// simdjson takes a third of the time, but does not say where an error is, and refuses some of what
// is valid: a byte order mark, integers of more than 64 bits. Nothing: StrictBuilder is to read it.
std::optional<Json> ParseFast(std::string_view text, std::string_view origin, Rounding rounding) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.allocate(text.size(), kJsonDepthMax) != simdjson::SUCCESS ||
      parser.parse(text.data(), text.size()).get(root) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  size_t num_double_zeros = 0;
  Json value = FromParsed(root, origin, num_double_zeros);
  if (rounding == Rounding::kDecimals && num_double_zeros > 0) return std::nullopt;
  return value;
}

// The reason a data row cannot hold the number written as `text`, or "".
std::string RoundingProblem(double value, std::string_view text) {
  if (text.find_first_of(".eE") == std::string_view::npos) {
    return "an integer of more than 64 bits; in quotes it is kept as text";
  }
  const std::string_view digits = text.substr(0, text.find_first_of("eE"));
  if (value == 0 && digits.find_first_of("123456789") != std::string_view::npos) {
    return "a number nearer to zero than a double can be; in quotes it is kept as text";
  }
  return "";
}

constexpr size_t kNumberBytesShown = 40;  // of a number in a message

// Builds the value, checking depth, duplicate keys and rounding.
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  StrictBuilder(std::string_view text, std::string_view origin, Rounding rounding)
      : text_(text), origin_(origin), rounding_(rounding) {}

  Json TakeRoot() { return std::move(root_); }

  bool null() override { return Put(Json(nullptr)); }
  bool boolean(bool value) override { return Put(Json(value)); }
  bool number_integer(number_integer_t value) override { return Put(Json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Put(Json(value)); }
  bool number_float(number_float_t value, const string_t& written) override {
    if (rounding_ == Rounding::kDecimals) {
      if (const std::string problem = RoundingProblem(value, written); !problem.empty()) {
        Throw(ErrorCode::kInvalid, "{}: the number {} is {}", origin_,
              written.size() > kNumberBytesShown ? written.substr(0, kNumberBytesShown) + "..."
                                                 : written,
              problem);
      }
    }
    return Put(Json(value));
  }
  bool string(string_t& value) override { return Put(Json(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool key(string_t& value) override {
    key_ = std::move(value);
    return true;
  }
  bool end_object() override {
    CheckKeys(stack_.back()->get_ref<const Json::object_t&>(), origin_);
    return end_array();
  }
  bool end_array() override {
    stack_.pop_back();
    return true;
  }
  bool parse_error(size_t offset, const std::string&,
                   const nlohmann::detail::exception& error) override {
    const TextPosition at = PositionOf(text_, offset > 0 ? offset - 1 : 0);
    std::string_view reason = error.what();
    const size_t colon = reason.find("syntax error");
    if (colon != std::string_view::npos) reason.remove_prefix(colon);
    Throw(ErrorCode::kInvalid, "{}:{}:{}: not valid JSON: {}", origin_, at.line, at.column, reason);
  }

 private:
  Json* Place(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &AppendMember(parent.get_ref<Json::object_t&>(), std::move(key_), std::move(value));
  }
  bool Put(Json value) {
    Place(std::move(value));
    return true;
  }
  bool Open(Json value) {
    if (stack_.size() >= static_cast<size_t>(kJsonDepthMax)) {
      Throw(ErrorCode::kInvalid, "{}: JSON is nested deeper than {} levels", origin_,
            kJsonDepthMax);
    }
    stack_.push_back(Place(std::move(value)));
    return true;
  }

  std::string_view text_;
  std::string_view origin_;
  Rounding rounding_;
  Json root_;
  std::vector<Json*> stack_;  // a child is only appended to the innermost, so pointers stay valid
  std::string key_;
};

Json Parse(std::string_view text, std::string_view origin, Rounding rounding) {
  if (std::optional<Json> parsed = ParseFast(text, origin, rounding)) return *std::move(parsed);
  // nlohmann's parser takes it for the end.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    const TextPosition at = PositionOf(text, zero);
    Throw(ErrorCode::kInvalid, "{}:{}:{}: not valid JSON: a zero byte", origin, at.line, at.column);
  }
  StrictBuilder builder(text, origin, rounding);
  if (!Json::sax_parse(text, &builder)) {
    Throw(ErrorCode::kInvalid, "{}: not valid JSON", origin);
  }
  return builder.TakeRoot();
}

}  // namespace

Json ParseJson(std::string_view text, std::string_view origin) {
  return Parse(text, origin, Rounding::kAny);
}

Json ParseDataJson(std::string_view text, std::string_view origin) {
  return Parse(text, origin, Rounding::kDecimals);
}

std::string DumpJson(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Nobody mistypes a name of this length, and what comes from a file may be of any.
constexpr size_t kEditedBytesMax = 256;

size_t EditDistance(std::string_view a, std::string_view b) {
  if (std::max(a.size(), b.size()) > kEditedBytesMax) return std::max(a.size(), b.size());
  std::vector<size_t> before_previous(b.size() + 1);
  std::vector<size_t> previous(b.size() + 1);
  std::vector<size_t> current(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      current[j] = std::min(
          {previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        current[j] = std::min(current[j], before_previous[j - 2] + 1);
      }
    }
    std::swap(before_previous, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

}  // namespace retort
