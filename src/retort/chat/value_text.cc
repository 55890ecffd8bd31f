// str() and repr() of values, as Python writes them.
#include <charconv>
#include <cmath>

#include "retort/chat/value.h"

namespace retort::jinja {
namespace {

void AppendRepr(std::string& out, const Value& value);

void AppendItems(std::string& out, const std::vector<Value>& items) {
  bool is_first = true;
  for (const Value& item : items) {
    if (!is_first) out += ", ";
    is_first = false;
    AppendRepr(out, item);
  }
}

void AppendDict(std::string& out, const DictHeap& dict) {
  out += '{';
  bool is_first = true;
  for (const auto& [key, value] : dict.items) {
    if (!is_first) out += ", ";
    is_first = false;
    AppendRepr(out, key);
    out += ": ";
    AppendRepr(out, value);
  }
  out += '}';
}

void AppendRepr(std::string& out, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      out += "Undefined";
      return;
    case Kind::kNone:
      out += "None";
      return;
    case Kind::kBool:
      out += value.bool_value() ? "True" : "False";
      return;
    case Kind::kInt:
      out += std::to_string(value.int_value());
      return;
    case Kind::kFloat:
      out += ReprFloat(value.float_value());
      return;
    case Kind::kStr:
      if (value.text().is_markup) {
        out += "Markup(" + ReprStr(value.bytes()) + ")";
      } else {
        out += ReprStr(value.bytes());
      }
      return;
    case Kind::kList:
      out += '[';
      AppendItems(out, value.items());
      out += ']';
      return;
    case Kind::kTuple:
      out += '(';
      AppendItems(out, value.items());
      out += value.items().size() == 1 ? ",)" : ")";
      return;
    case Kind::kDict:
      AppendDict(out, value.dict());
      return;
    case Kind::kObject:
      out += value.object().Repr();
      return;
  }
}

}  // namespace

std::string ReprFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  const std::string_view shortest(buffer, static_cast<size_t>(end - buffer));
  const size_t e = shortest.find('e');
  int exponent = 0;
  std::from_chars(shortest.data() + e + 2, end, exponent);  // past "e+" or "e-"
  if (shortest[e + 1] == '-') exponent = -exponent;
  if (exponent < -4 || exponent >= 16) return std::string(shortest);  // Python writes 1e+16 too
  std::string digits;
  for (const char c : shortest.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  std::string out = value < 0 || std::signbit(value) ? "-" : "";
  if (exponent < 0) {
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  const size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string ReprStr(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = DecodeAt(text, at);
    const char32_t c = point.value;
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (IsPrintable(c)) {
      out += text.substr(at, point.num_bytes);
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
    }
    at += point.num_bytes;
  }
  out += quote;
  return out;
}

std::string Repr(const Value& value) {
  std::string out;
  AppendRepr(out, value);
  return out;
}

Text ToText(const Value& value) {
  if (value.is_str()) return value.text();
  if (value.is_undefined()) return Text();
  // What is written about a value is content if anything in it is: no piece of it is trusted then.
  return Text(Repr(value), !value.HasContent());
}

}  // namespace retort::jinja
