#include "retort/chat/json_text.h"

#include <algorithm>
#include <cmath>

#include "retort/chat/operations.h"

namespace retort::jinja {
namespace {

Value FromJsonAt(Runtime& runtime, const Json& json, bool is_template, int depth) {
  if (depth > kRenderValueDepthMax) {
    Throw(ErrorCode::kExhausted, "values are nested deeper than {} levels", kRenderValueDepthMax);
  }
  runtime.Spend(1);
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::Bool(json.get<bool>(), !is_template);
    case Json::value_t::number_integer:
      return Value::Int(json.get<int64_t>(), !is_template);
    case Json::value_t::number_unsigned: {
      const auto value = json.get<uint64_t>();
      if (value > static_cast<uint64_t>(INT64_MAX)) {
        Throw(ErrorCode::kUnsupported, "the integer {} does not fit 64 bits", value);
      }
      return Value::Int(static_cast<int64_t>(value), !is_template);
    }
    case Json::value_t::number_float:
      return Value::Float(json.get<double>(), !is_template);
    case Json::value_t::string:
      return runtime.Str(Text(json.get_ref<const std::string&>(), is_template));
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) {
        items.push_back(FromJsonAt(runtime, item, is_template, depth + 1));
      }
      return Value::List(std::move(items));
    }
    case Json::value_t::object: {
      std::vector<std::pair<Value, Value>> items;
      items.reserve(json.size());
      for (const auto& [key, item] : json.items()) {
        items.emplace_back(runtime.Str(Text(key, is_template)),
                           FromJsonAt(runtime, item, is_template, depth + 1));
      }
      return Value::Dict(std::move(items));
    }
    default:
      return Value::None(!is_template);
  }
}

class Writer {
 public:
  Writer(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  std::string Run(const Value& value) {
    Write(value);
    return std::move(out_);
  }

 private:
  void Write(const Value& value) {
    runtime_.Spend(1);
    if (out_.size() > runtime_.options().text_bytes_max) runtime_.SpendText(out_.size());
    switch (value.kind()) {
      case Kind::kNone:
        out_ += "null";
        return;
      case Kind::kBool:
        out_ += value.bool_value() ? "true" : "false";
        return;
      case Kind::kInt:
        out_ += std::to_string(value.int_value());
        return;
      case Kind::kFloat:
        out_ += FloatText(value.float_value());
        return;
      case Kind::kStr:
        WriteString(value.bytes());
        return;
      case Kind::kList:
      case Kind::kTuple:
        WriteList(value.items());
        return;
      case Kind::kDict:
        WriteDict(value.dict());
        return;
      default:
        Fail("Object of type {} is not JSON serializable", TypeName(value));
    }
  }

  static std::string FloatText(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return ReprFloat(value);
  }

  void WriteString(std::string_view text) {
    runtime_.SpendText(text.size());
    out_ += '"';
    for (size_t at = 0; at < text.size();) {
      const CodePoint point = DecodeAt(text, at);
      switch (point.value) {
        case '"':
          out_ += "\\\"";
          break;
        case '\\':
          out_ += "\\\\";
          break;
        case '\n':
          out_ += "\\n";
          break;
        case '\r':
          out_ += "\\r";
          break;
        case '\t':
          out_ += "\\t";
          break;
        case '\f':
          out_ += "\\f";
          break;
        case '\b':
          out_ += "\\b";
          break;
        default:
          if (point.value < 0x20 || (style_.ensure_ascii && point.value >= 0x7F)) {
            WriteEscape(point.value);
          } else {
            out_ += text.substr(at, point.num_bytes);
          }
      }
      at += point.num_bytes;
    }
    out_ += '"';
  }

  void WriteEscape(char32_t c) {
    if (c == 0x7F) {
      out_ += '\x7F';  // Python leaves DEL alone
    } else if (c < 0x10000) {
      out_ += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else {
      const auto rest = static_cast<uint32_t>(c) - 0x10000;
      out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
    }
  }

  void NewLine() {
    if (!style_.indent) return;
    out_ += '\n';
    for (int i = 0; i < level_; ++i) out_ += *style_.indent;
  }

  void WriteList(const std::vector<Value>& items) {
    if (items.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    ++level_;
    bool is_first = true;
    for (const Value& item : items) {
      if (!is_first) out_ += style_.item_separator;
      is_first = false;
      NewLine();
      Write(item);
    }
    --level_;
    NewLine();
    out_ += ']';
  }

  static std::string KeyText(const Value& key) {
    switch (key.kind()) {
      case Kind::kStr:
        return key.bytes();
      case Kind::kNone:
        return "null";
      case Kind::kBool:
        return key.bool_value() ? "true" : "false";
      case Kind::kInt:
        return std::to_string(key.int_value());
      case Kind::kFloat:
        return FloatText(key.float_value());
      default:
        Fail("keys must be str, int, float, bool or None, not {}", TypeName(key));
    }
  }

  void WriteDict(const DictHeap& dict) {
    if (dict.items.empty()) {
      out_ += "{}";
      return;
    }
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& item : dict.items) items.push_back(&item);
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(),
                       [](const auto* a, const auto* b) { return LessThan(a->first, b->first); });
    }
    out_ += '{';
    ++level_;
    bool is_first = true;
    for (const auto* item : items) {
      if (!is_first) out_ += style_.item_separator;
      is_first = false;
      NewLine();
      WriteString(KeyText(item->first));
      out_ += style_.key_separator;
      Write(item->second);
    }
    --level_;
    NewLine();
    out_ += '}';
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string out_;
  int level_ = 0;
};

}  // namespace

Value FromJson(Runtime& runtime, const Json& json, bool is_template) {
  return FromJsonAt(runtime, json, is_template, 0);
}

Text ToJsonText(Runtime& runtime, const Value& value, const JsonStyle& style) {
  // As with repr: one trusted byte beside content would let content choose what the two spell.
  return Text(Writer(runtime, style).Run(value), !value.HasContent());
}

}  // namespace retort::jinja
