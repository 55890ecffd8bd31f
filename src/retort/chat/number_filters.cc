// Filters that make or print numbers and JSON.
#include <charconv>
#include <cmath>
#include <cstdio>

#include "retort/chat/filters.h"
#include "retort/chat/json_text.h"
#include "retort/chat/operations.h"
#include "retort/chat/strings.h"

namespace retort::jinja {
namespace {

using Args = const CallArgs&;

constexpr int64_t kRoundDigitsMax = 300;
constexpr int64_t kJsonIndentMax = 64;
constexpr uint64_t kJsonBytesPerByte = 32;  // that parsing may take: "[[],[],[]]" comes near it

// What int() and float() accept around and inside a numeral: spaces, and single underscores.
std::string Numeral(Runtime& runtime, const Text& text) {
  const Text stripped = Strip(runtime, text, nullptr, true, true);
  const std::string& bytes = stripped.bytes();
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    const bool is_between = i > 0 && i + 1 < bytes.size() &&
                            std::isalnum(static_cast<unsigned char>(bytes[i - 1])) != 0 &&
                            std::isalnum(static_cast<unsigned char>(bytes[i + 1])) != 0;
    if (c == '_' && is_between) continue;
    out += c;
  }
  return out;
}

std::optional<double> ParseFloat(Runtime& runtime, const Text& text) {
  std::string numeral = Numeral(runtime, text);
  std::string_view digits = numeral;
  bool is_negative = false;
  if (!digits.empty() && (digits[0] == '+' || digits[0] == '-')) {
    is_negative = digits[0] == '-';
    digits.remove_prefix(1);
  }
  if (digits.empty() || digits[0] == '+' || digits[0] == '-') return std::nullopt;
  double value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (result.ptr != digits.data() + digits.size()) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range)
    value = std::strtod(digits.data(), nullptr);
  else if (result.ec != std::errc())
    return std::nullopt;
  return is_negative ? -value : value;
}

std::optional<int64_t> ParseInt(Runtime& runtime, const Text& text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  const std::string numeral = Numeral(runtime, text);
  std::string_view digits = numeral;
  const bool is_negative = !digits.empty() && digits[0] == '-';
  if (!digits.empty() && (digits[0] == '+' || digits[0] == '-')) digits.remove_prefix(1);
  const char letter =
      digits.size() > 1 && digits[0] == '0' ? static_cast<char>(digits[1] | 0x20) : '\0';
  const int64_t prefix_base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
  if (prefix_base != 0 && (base == prefix_base || base == 0)) {
    digits.remove_prefix(2);
    base = prefix_base;
  }
  if (base == 0) base = 10;
  const std::string signed_digits = (is_negative ? "-" : "") + std::string(digits);
  if (digits.empty() || digits[0] == '-' || digits[0] == '+') return std::nullopt;
  int64_t value = 0;
  const auto result =
      std::from_chars(signed_digits.data(), signed_digits.data() + signed_digits.size(), value,
                      static_cast<int>(base));
  if (result.ptr != signed_digits.data() + signed_digits.size()) return std::nullopt;
  if (result.ec == std::errc::result_out_of_range) {
    Throw(ErrorCode::kExhausted, "the integer {} does not fit 64 bits", Shown(signed_digits));
  }
  if (result.ec != std::errc()) return std::nullopt;
  return value;
}

std::optional<int64_t> Truncate(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  if (std::fabs(value) >= 9.2e18) {
    Throw(ErrorCode::kExhausted, "the integer part of {} does not fit 64 bits", value);
  }
  return static_cast<int64_t>(value);
}

Value IntFilter(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("int", args, {"default", "base"}, 0);
  std::optional<int64_t> value;
  if (self.is_str()) {
    value = ParseInt(runtime, self.text(), bound.OrInt(1, 10));
    if (!value) {
      const std::optional<double> real = ParseFloat(runtime, self.text());
      if (real) value = Truncate(*real);
    }
  } else if (self.is_integral()) {
    value = self.int_value();
  } else if (self.is_float()) {
    if (std::isinf(self.float_value())) Fail("cannot convert float infinity to integer");
    value = Truncate(self.float_value());
  } else {
    RequireDefined(self);
  }
  return value ? Value::Int(*value, self.HasContent()) : bound.Or(0, Value::Int(0));
}

Value FloatFilter(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("float", args, {"default"}, 0);
  std::optional<double> value;
  if (self.is_number()) {
    value = self.float_value();
  } else if (self.is_str()) {
    value = ParseFloat(runtime, self.text());
  } else {
    RequireDefined(self);
  }
  return value ? Value::Float(*value, self.HasContent()) : bound.Or(0, Value::Float(0));
}

Value Absolute(Runtime&, const Value& self, Args args) {
  BoundArgs("abs", args, {}, 0);
  RequireDefined(self);
  if (!self.is_number()) Fail("bad operand type for abs(): '{}'", TypeName(self));
  const bool is_negative =
      self.is_float() ? std::signbit(self.float_value()) : self.int_value() < 0;
  return is_negative ? Negate(self) : Posate(self);
}

// round(value, digits) as Python computes it: correctly, from the decimal expansion.
double RoundDecimal(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > kRoundDigitsMax) return value;
  if (digits < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-digits));
    return std::isinf(scale) ? 0.0 : std::nearbyint(value / scale) * scale;
  }
  char buffer[800];
  std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(digits), value);
  return std::strtod(buffer, nullptr);
}

Value Round(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("round", args, {"precision", "method"}, 0);
  const int64_t digits = bound.OrInt(0, 0);
  const std::string method = bound.Has(1) ? ToText(runtime, bound[1]).bytes() : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    Fail("method must be common, ceil or floor");
  }
  RequireDefined(self);
  if (!self.is_number()) Fail("type {} doesn't define __round__ method", TypeName(self));
  const bool is_content = self.is_scalar_content();
  if (method == "common") {
    if (!self.is_integral()) {
      return Value::Float(RoundDecimal(self.float_value(), digits), is_content);
    }
    if (digits >= 0) return Value::Int(self.int_value(), is_content);
    const double rounded = RoundDecimal(static_cast<double>(self.int_value()), digits);
    return Value::Int(Truncate(rounded).value_or(0), is_content);
  }
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double scaled = self.float_value() * scale;
  return Value::Float((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale,
                      is_content);
}

Value FileSizeFormat(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("filesizeformat", args, {"binary"}, 0);
  const bool is_binary = bound.OrBool(0, false);
  const Value number = FloatFilter(runtime, self, {});
  const double bytes = number.float_value();
  const double base = is_binary ? 1024 : 1000;
  std::string text;
  if (bytes == 1) {
    text = "1 Byte";
  } else if (bytes < base) {
    text = fmt::format("{:.0f} Bytes", std::trunc(bytes));
  } else {
    const std::string_view letters = is_binary ? "KMGTPEZY" : "kMGTPEZY";
    double unit = base * base;
    size_t i = 0;
    for (; i + 1 < letters.size() && bytes >= unit; ++i) unit *= base;
    text = fmt::format("{:.1f} {}{}", base * bytes / unit, letters[i], is_binary ? "iB" : "B");
  }
  return runtime.Str(Text(std::move(text), !number.is_scalar_content()));
}

Value ToJson(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0);
  JsonStyle style;
  style.ensure_ascii = bound.OrBool(0, false);
  style.sort_keys = bound.OrBool(3, false);
  if (bound.Has(1) && !bound[1].is_none()) {
    if (bound[1].is_str()) {
      runtime.SpendText(bound[1].bytes().size());
      style.indent = bound[1].bytes();
    } else {
      const int64_t width = bound.OrInt(1, 0);
      if (width > kJsonIndentMax) {
        Throw(ErrorCode::kExhausted, "tojson: an indent of {} is wider than {}", width,
              kJsonIndentMax);
      }
      style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
    }
    style.item_separator = ",";
  }
  if (bound.Has(2) && !bound[2].is_none()) {
    const std::vector<Value> separators = ToVector(runtime, bound[2]);
    if (separators.size() != 2 || !separators[0].is_str() || !separators[1].is_str()) {
      Fail("tojson: separators must be two strings");
    }
    runtime.SpendText(separators[0].bytes().size());
    runtime.SpendText(separators[1].bytes().size());
    style.item_separator = separators[0].bytes();
    style.key_separator = separators[1].bytes();
  }
  return runtime.StrBuilt(ToJsonText(runtime, self, style));
}

Value FromJsonFilter(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("from_json", args, {}, 0);
  if (!self.is_str()) Fail("the JSON object must be str, not {}", TypeName(self));
  runtime.SpendLook(self.text().size());
  const HeldBytes held(runtime, self.text().size() * kJsonBytesPerByte);
  return FromJson(runtime, ParseJson(self.bytes(), "from_json"), !self.HasContent());
}

constexpr FilterEntry kFilters[] = {
    {"abs", Absolute},      {"filesizeformat", FileSizeFormat},
    {"float", FloatFilter}, {"from_json", FromJsonFilter},
    {"int", IntFilter},     {"round", Round},
    {"tojson", ToJson},
};

}  // namespace

std::span<const FilterEntry> NumberFilters() { return kFilters; }

}  // namespace retort::jinja
