#include "retort/chat/json_text.h"

#include <algorithm>
#include <cmath>

#include "retort/chat/operations.h"
#include "retort/chat/unicode.h"

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
      runtime.SpendItems(0, json.size());
      items.reserve(json.size());
      for (const Json& item : json) {
        items.push_back(FromJsonAt(runtime, item, is_template, depth + 1));
      }
      return runtime.List(std::move(items));
    }
    case Json::value_t::object: {
      std::vector<std::pair<Value, Value>> items;
      runtime.SpendItems(0, json.size());
      items.reserve(json.size());
      for (const auto& [key, item] : json.items()) {
        items.emplace_back(runtime.Str(Text(key, is_template)),
                           FromJsonAt(runtime, item, is_template, depth + 1));
      }
      return runtime.Dict(std::move(items));
    }
    default:
      return Value::None(!is_template);
  }
}

class Writer {
 public:
  // As with repr: one trusted byte beside content would let content choose what the two spell.
  Writer(Runtime& runtime, const JsonStyle& style, bool is_template)
      : runtime_(runtime), style_(style), is_template_(is_template), out_(runtime) {}

  Text Run(const Value& value) {
    Write(value);
    return out_.Take();
  }

 private:
  void Put(std::string_view bytes) { out_.Append(bytes, is_template_); }

  void Write(const Value& value) {
    runtime_.Spend(1);
    switch (value.kind()) {
      case Kind::kNone:
        return Put("null");
      case Kind::kBool:
        return Put(value.bool_value() ? "true" : "false");
      case Kind::kInt:
        return Put(std::to_string(value.int_value()));
      case Kind::kFloat:
        return Put(FloatText(value.float_value()));
      case Kind::kStr:
        return WriteString(value.bytes());
      case Kind::kList:
      case Kind::kTuple:
        return WriteList(value.items());
      case Kind::kDict:
        return WriteDict(value.dict());
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
    Put("\"");
    size_t plain = 0;  // where what is written as it stands begins
    for (size_t at = 0; at < text.size();) {
      const CodePoint point = DecodeAt(text, at);
      if (const std::string escaped = Escaped(point.value); !escaped.empty()) {
        Put(text.substr(plain, at - plain));
        Put(escaped);
        plain = at + point.num_bytes;
      }
      at += point.num_bytes;
    }
    Put(text.substr(plain));
    Put("\"");
  }

  // How a character is written that does not stand for itself; else nothing.
  std::string Escaped(char32_t c) const {
    switch (c) {
      case '"':
        return "\\\"";
      case '\\':
        return "\\\\";
      case '\n':
        return "\\n";
      case '\r':
        return "\\r";
      case '\t':
        return "\\t";
      case '\f':
        return "\\f";
      case '\b':
        return "\\b";
      default:
        break;
    }
    if (c >= 0x20 && (!style_.ensure_ascii || c <= 0x7F)) return {};  // Python leaves DEL alone
    if (c < 0x10000) return fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    const auto rest = static_cast<uint32_t>(c) - 0x10000;
    return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
  }

  void NewLine() {
    if (!style_.indent) return;
    Put("\n");
    for (int i = 0; i < level_; ++i) Put(*style_.indent);
  }

  void WriteList(const std::vector<Value>& items) {
    if (items.empty()) {
      Put("[]");
      return;
    }
    Put("[");
    ++level_;
    bool is_first = true;
    for (const Value& item : items) {
      if (!is_first) Put(style_.item_separator);
      is_first = false;
      NewLine();
      Write(item);
    }
    --level_;
    NewLine();
    Put("]");
  }

  void WriteKey(const Value& key) {
    switch (key.kind()) {
      case Kind::kStr:
        return WriteString(key.text().view());
      case Kind::kNone:
        return WriteString("null");
      case Kind::kBool:
        return WriteString(key.bool_value() ? "true" : "false");
      case Kind::kInt:
        return WriteString(std::to_string(key.int_value()));
      case Kind::kFloat:
        return WriteString(FloatText(key.float_value()));
      default:
        Fail("keys must be str, int, float, bool or None, not {}", TypeName(key));
    }
  }

  void WriteDict(const DictHeap& dict) {
    if (dict.items.empty()) {
      Put("{}");
      return;
    }
    std::vector<const std::pair<Value, Value>*> items;
    const HeldBytes held(runtime_, dict.items.size() * sizeof(items[0]));
    for (const auto& item : dict.items) items.push_back(&item);
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(), [&](const auto* a, const auto* b) {
        return LessThan(runtime_, a->first, b->first);
      });
    }
    Put("{");
    ++level_;
    bool is_first = true;
    for (const auto* item : items) {
      if (!is_first) Put(style_.item_separator);
      is_first = false;
      NewLine();
      WriteKey(item->first);
      Put(style_.key_separator);
      Write(item->second);
    }
    --level_;
    NewLine();
    Put("}");
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  bool is_template_;
  TextBuilder out_;
  int level_ = 0;
};

}  // namespace

Value FromJson(Runtime& runtime, const Json& json, bool is_template) {
  return FromJsonAt(runtime, json, is_template, 0);
}

Text ToJsonText(Runtime& runtime, const Value& value, const JsonStyle& style) {
  return Writer(runtime, style, !value.HasContent()).Run(value);
}

}  // namespace retort::jinja
