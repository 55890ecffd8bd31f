// str() and repr() of values, as Python writes them.
#include <charconv>
#include <cmath>

#include "retort/chat/runtime.h"
#include "retort/chat/unicode.h"

namespace retort::jinja {
namespace {

char QuoteOf(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  return has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
}

// Appends the code point at `at` as repr() writes it; returns its size in the text.
size_t AppendEscaped(std::string_view text, size_t at, char quote, std::string& out) {
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
  return point.num_bytes;
}

class ReprWriter {
 public:
  ReprWriter(Runtime& runtime, bool is_template)
      : runtime_(runtime), is_template_(is_template), out_(runtime) {}

  void Write(const Value& value) {
    runtime_.Spend(1);
    switch (value.kind()) {
      case Kind::kUndefined:
        return Put("Undefined");
      case Kind::kStr:
        if (value.text().is_markup) Put("Markup(");
        WriteStr(value.text().view());
        if (value.text().is_markup) Put(")");
        return;
      case Kind::kList:
        Put("[");
        WriteItems(value.items());
        return Put("]");
      case Kind::kTuple:
        Put("(");
        WriteItems(value.items());
        return Put(value.items().size() == 1 ? ",)" : ")");
      case Kind::kDict:
        return WriteDict(value.dict());
      case Kind::kObject:
        return Put(value.object().Repr(runtime_).view());
      default:
        return Put(Shown(value));
    }
  }
  Text Take() { return out_.Take(); }

 private:
  void Put(std::string_view bytes) { out_.Append(bytes, is_template_); }

  void WriteStr(std::string_view text) {
    static constexpr size_t kPieceBytes = 1 << 12;  // counted one by one, before they grow
    const char quote = QuoteOf(text);
    Put({&quote, 1});
    std::string piece;
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      piece.clear();
      while (at < text.size() && at - begin < kPieceBytes)
        at += AppendEscaped(text, at, quote, piece);
      Put(piece);
    }
    Put({&quote, 1});
  }

  void WriteItems(const std::vector<Value>& items) {
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) Put(", ");
      Write(items[i]);
    }
  }

  void WriteDict(const DictHeap& dict) {
    Put("{");
    for (size_t i = 0; i < dict.items.size(); ++i) {
      if (i > 0) Put(", ");
      Write(dict.items[i].first);
      Put(": ");
      Write(dict.items[i].second);
    }
    Put("}");
  }

  Runtime& runtime_;
  bool is_template_;
  TextBuilder out_;
};

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
  const char quote = QuoteOf(text);
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) at += AppendEscaped(text, at, quote, out);
  out += quote;
  return out;
}

Text Repr(Runtime& runtime, const Value& value) {
  // What is written about a value is content if anything in it is: no piece of it is trusted then.
  ReprWriter writer(runtime, !value.HasContent());
  writer.Write(value);
  return writer.Take();
}

Text ToText(Runtime& runtime, const Value& value) {
  if (value.is_undefined()) return Text();
  if (!value.is_str()) return Repr(runtime, value);
  runtime.SpendText(value.text().size());
  return value.text();
}

}  // namespace retort::jinja
