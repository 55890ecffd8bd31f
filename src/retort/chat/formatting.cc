#include "retort/chat/formatting.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "retort/chat/operations.h"
#include "retort/chat/unicode.h"

namespace retort::jinja {
namespace {

constexpr size_t kFieldWidthMax = 10'000;  // of one formatted field, and of its precision

// What stands between % and the type letter, or after the colon in braces.
struct FieldSpec {
  bool is_left = false;
  bool is_centered = false;
  bool is_after_sign = false;  // '=': padding goes between sign and digits
  bool has_align = false;
  bool is_alternate = false;
  char sign = '\0';      // '+' or ' '
  char grouping = '\0';  // ',' or '_'
  std::string fill = " ";
  size_t width = 0;
  int precision = -1;
  char type = '\0';
};

// Counts what padding and digits take to make.
void SpendField(Runtime& runtime, const FieldSpec& spec) {
  runtime.SpendText(spec.width + static_cast<size_t>(std::max(spec.precision, 0)));
}

size_t ParseNumberAt(std::string_view text, size_t& at) {
  size_t value = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    value = value * 10 + static_cast<size_t>(text[at++] - '0');
    if (value > kFieldWidthMax) Throw(ErrorCode::kExhausted, "a format width is too large");
  }
  return value;
}

std::string PrintFloat(double value, const FieldSpec& spec, char type) {
  char format[16];
  std::snprintf(format, sizeof(format), "%%%s.*%c", spec.is_alternate ? "#" : "", type);
  const int precision = spec.precision < 0 ? 6 : spec.precision;
  const int length = std::snprintf(nullptr, 0, format, precision, std::fabs(value));
  std::string out(static_cast<size_t>(length), '\0');
  std::snprintf(out.data(), out.size() + 1, format, precision, std::fabs(value));
  return out;
}

std::string PrintInt(uint64_t magnitude, const FieldSpec& spec) {
  switch (spec.type) {
    case 'x':
      return (spec.is_alternate ? "0x" : "") + fmt::format("{:x}", magnitude);
    case 'X':
      return (spec.is_alternate ? "0X" : "") + fmt::format("{:X}", magnitude);
    case 'o':
      return (spec.is_alternate ? "0o" : "") + fmt::format("{:o}", magnitude);
    case 'b':
      return (spec.is_alternate ? "0b" : "") + fmt::format("{:b}", magnitude);
    default:
      return std::to_string(magnitude);
  }
}

std::string Group(std::string digits, char separator) {
  if (separator == '\0') return digits;
  const size_t whole = std::min(digits.find_first_of(".e"), digits.size());
  for (size_t at = whole; at > 3; at -= 3) digits.insert(at - 3, 1, separator);
  return digits;
}

// Sign, digits and padding of a number.
std::string FinishNumber(std::string digits, bool is_negative, const FieldSpec& spec) {
  std::string sign = is_negative ? "-" : spec.sign != '\0' ? std::string(1, spec.sign) : "";
  digits = Group(std::move(digits), spec.grouping);
  const size_t used = sign.size() + digits.size();
  const size_t padding = spec.width > used ? spec.width - used : 0;
  std::string fill;
  const auto repeat = [&](size_t times) {
    std::string out;
    for (size_t i = 0; i < times; ++i) out += spec.fill;
    return out;
  };
  if (spec.is_left) return sign + digits + repeat(padding);
  if (spec.is_centered) {
    return repeat(padding / 2) + sign + digits + repeat(padding - padding / 2);
  }
  if (spec.is_after_sign) return sign + repeat(padding) + digits;
  return repeat(padding) + sign + digits;
}

std::string FormatNumber(const Value& value, const FieldSpec& spec) {
  const char lower = static_cast<char>(spec.type | 0x20);
  const bool is_float_type = lower == 'f' || lower == 'e' || lower == 'g' || spec.type == '%';
  if (value.is_integral() && !is_float_type) {
    const int64_t number = value.int_value();
    const uint64_t magnitude =
        number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    return FinishNumber(PrintInt(magnitude, spec), number < 0, spec);
  }
  double number = value.float_value();
  const bool is_negative = std::signbit(number) && !std::isnan(number);
  std::string digits;
  if (!std::isfinite(number)) {
    digits = std::isnan(number) ? "nan" : "inf";
  } else if (spec.type == '%') {
    digits = PrintFloat(number * 100, spec, 'f') + "%";
  } else if (is_float_type) {
    digits = PrintFloat(number, spec, spec.type);
  } else if (spec.precision < 0) {
    digits = ReprFloat(std::fabs(number));
  } else {
    digits = PrintFloat(number, spec, 'g');
    if (digits.find_first_of(".e") == std::string::npos) digits += ".0";
  }
  return FinishNumber(std::move(digits), is_negative, spec);
}

// Cuts to the precision and pads to the width, keeping provenance; padding is the format's.
void AppendTextField(TextBuilder& out, const Text& text, const FieldSpec& spec, bool is_template) {
  size_t end = text.size();
  if (spec.precision >= 0) end = ByteOffset(text.view(), static_cast<size_t>(spec.precision));
  const size_t length = CountCodePoints(text.view().substr(0, end));
  const size_t padding = spec.width > length ? spec.width - length : 0;
  const size_t before = spec.is_left ? 0 : spec.is_centered ? padding / 2 : padding;
  const Text fill(spec.fill, is_template);
  out.Fill(fill, before);
  out.Append(text, 0, end);
  out.Fill(fill, padding - before);
}

// --- "..." % values

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Text& format, const Value& values)
      : runtime_(runtime), format_(format), values_(values), out_(runtime) {}

  Value Run() {
    const std::string_view text = format_.view();
    size_t at = 0;
    while (at < text.size()) {
      const size_t percent = std::min(text.find('%', at), text.size());
      out_.Append(format_, at, percent);
      if (percent == text.size()) break;
      at = percent + 1;
      FormatOne(text, at, format_.IsTemplateAt(percent));
    }
    const bool may_be_unused =
        values_.is_dict() || is_mapping_used_ || values_.is_list() || values_.is_undefined();
    const size_t num_values = values_.is_tuple() ? values_.items().size() : 1;
    if (next_ < num_values && !(may_be_unused && !values_.is_tuple())) {
      Fail("not all arguments converted during string formatting");
    }
    return runtime_.StrBuilt(out_.Take(format_.is_markup));
  }

 private:
  const Value& Next() {
    if (!values_.is_tuple()) {
      if (next_++ > 0) Fail("not enough arguments for format string");
      return values_;
    }
    if (next_ >= values_.items().size()) Fail("not enough arguments for format string");
    return values_.items()[next_++];
  }

  void FormatOne(std::string_view text, size_t& at, bool is_template) {
    const Value* mapped = nullptr;
    if (at < text.size() && text[at] == '(') {
      const size_t close = text.find(')', at);
      if (close == std::string_view::npos) Fail("incomplete format key");
      if (!values_.is_dict()) Fail("format requires a mapping");
      const std::string_view key = text.substr(at + 1, close - at - 1);
      mapped = values_.dict().Find(runtime_, key);
      if (mapped == nullptr) Fail("format key {} is missing", Shown(key));
      is_mapping_used_ = true;
      at = close + 1;
    }
    FieldSpec spec;
    bool has_zero = false;
    for (; at < text.size(); ++at) {
      if (text[at] == '-') {
        spec.is_left = true;
      } else if (text[at] == '+' || (text[at] == ' ' && spec.sign != '+')) {
        spec.sign = text[at];
      } else if (text[at] == '#') {
        spec.is_alternate = true;
      } else if (text[at] == '0') {
        has_zero = true;
      } else if (text[at] != ' ') {
        break;
      }
    }
    spec.width = ParseNumberAt(text, at);
    if (at < text.size() && text[at] == '.')
      spec.precision = static_cast<int>(ParseNumberAt(text, ++at));
    if (at >= text.size()) Fail("incomplete format");
    spec.type = text[at++];
    if (spec.type == '%') {
      out_.Append("%", is_template);
      return;
    }
    if (has_zero && !spec.is_left) {
      spec.is_after_sign = true;
      spec.fill = "0";
    }
    Convert(mapped != nullptr ? *mapped : Next(), spec, is_template);
  }

  void Convert(const Value& value, FieldSpec spec, bool is_template) {
    SpendField(runtime_, spec);
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a':
        spec.fill = " ";
        AppendTextField(out_, spec.type == 's' ? ToText(runtime_, value) : Repr(runtime_, value),
                        spec, is_template);
        return;
      case 'c':
        if (value.is_integral()) {
          std::string character;
          AppendUtf8(character, static_cast<char32_t>(value.int_value()));
          AppendTextField(out_, Text(character, !value.is_scalar_content()), spec, is_template);
          return;
        }
        if (!value.is_str() || value.bytes().empty() ||
            DecodeAt(value.text().view(), 0).num_bytes != value.bytes().size()) {
          Fail("%c requires int or char");
        }
        AppendTextField(out_, value.text(), spec, is_template);
        return;
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o': {
        RequireDefined(value);
        Value number = value;
        if ((spec.type == 'd' || spec.type == 'i' || spec.type == 'u')) {
          if (value.is_float() && std::fabs(value.float_value()) < 9.2e18) {
            number = Value::Int(static_cast<int64_t>(value.float_value()));
          }
          spec.type = 'd';
        }
        if (!number.is_integral()) {
          Fail("%{} format: a real number is required, not {}", spec.type, TypeName(value));
        }
        out_.Append(FormatNumber(number, spec), is_template && !value.is_scalar_content());
        return;
      }
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        RequireDefined(value);
        if (!value.is_number()) Fail("must be real number, not {}", TypeName(value));
        out_.Append(FormatNumber(value, spec), is_template && !value.is_scalar_content());
        return;
      default:
        Fail("unsupported format character '{}'", spec.type);
    }
  }

  Runtime& runtime_;
  const Text& format_;
  const Value& values_;
  TextBuilder out_;
  size_t next_ = 0;
  bool is_mapping_used_ = false;
};

// --- "...".format(values)

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Text& format, const CallArgs& args)
      : runtime_(runtime), format_(format), args_(args), out_(runtime) {}

  Value Run() {
    const std::string_view text = format_.view();
    size_t at = 0;
    while (at < text.size()) {
      const size_t brace = std::min(text.find_first_of("{}", at), text.size());
      out_.Append(format_, at, brace);
      if (brace == text.size()) break;
      if (brace + 1 < text.size() && text[brace + 1] == text[brace]) {
        out_.Append(format_, brace, brace + 1);
        at = brace + 2;
        continue;
      }
      if (text[brace] == '}') Fail("Single '}}' encountered in format string");
      const size_t close = text.find('}', brace);
      if (close == std::string_view::npos) Fail("expected '}}' before end of string");
      FormatField(text.substr(brace + 1, close - brace - 1), format_.IsTemplateAt(brace));
      at = close + 1;
    }
    return runtime_.StrBuilt(out_.Take());
  }

 private:
  // name, then [.attribute | [key]]..., then [!conversion], then [:spec]
  void FormatField(std::string_view field, bool is_template) {
    if (field.find('{') != std::string_view::npos) {
      Throw(ErrorCode::kUnsupported, "str.format() with nested fields is not supported");
    }
    const size_t colon = std::min(field.find(':'), field.size());
    std::string_view name = field.substr(0, colon);
    const std::string_view spec_text = colon < field.size() ? field.substr(colon + 1) : "";
    char conversion = 's';
    bool has_conversion = false;
    if (const size_t bang = name.find('!'); bang != std::string_view::npos) {
      if (bang + 2 != name.size()) Fail("expected ':' after conversion specifier");
      conversion = name[bang + 1];
      has_conversion = true;
      name = name.substr(0, bang);
    }
    Value value = Lookup(name);
    if (has_conversion) {
      if (conversion != 's' && conversion != 'r' && conversion != 'a') {
        Fail("Unknown conversion specifier {}", conversion);
      }
      value = runtime_.Str(conversion == 's' ? ToText(runtime_, value) : Repr(runtime_, value));
    }
    AppendFormatted(value, spec_text, is_template);
  }

  Value Lookup(std::string_view name) {
    const size_t first_end = std::min(name.find_first_of(".["), name.size());
    const std::string_view first = name.substr(0, first_end);
    Value value;
    const bool is_number =
        std::all_of(first.begin(), first.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (is_number) {
      size_t at = 0;
      const size_t index = first.empty() ? next_++ : ParseNumberAt(first, at);
      if (index >= args_.positional.size()) {
        Fail("Replacement index {} out of range for positional args tuple", index);
      }
      value = args_.positional[index];
    } else {
      runtime_.Spend(1 + args_.named.size() / 8);
      const auto named = std::find_if(args_.named.begin(), args_.named.end(),
                                      [&](const auto& arg) { return arg.first.view() == first; });
      if (named == args_.named.end()) Fail("format key {} is missing", Shown(first));
      value = named->second;
    }
    for (size_t at = first_end; at < name.size();) {
      if (name[at] == '.') {
        const size_t end = std::min(name.find_first_of(".[", at + 1), name.size());
        value = GetAttribute(runtime_, value, name.substr(at + 1, end - at - 1));
        at = end;
      } else {
        const size_t end = name.find(']', at);
        if (name[at] != '[' || end == std::string_view::npos) Fail("Missing ']' in format string");
        const std::string_view key = name.substr(at + 1, end - at - 1);
        size_t digits = 0;
        const bool is_index =
            !key.empty() && key.find_first_not_of("0123456789") == std::string_view::npos;
        value = GetItem(runtime_, value,
                        is_index ? Value::Int(static_cast<int64_t>(ParseNumberAt(key, digits)))
                                 : runtime_.Str(key));
        at = end + 1;
      }
    }
    return value;
  }

  static FieldSpec ParseSpec(std::string_view text) {
    FieldSpec spec;
    size_t at = 0;
    const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
    if (!text.empty()) {
      const size_t fill_bytes = DecodeAt(text, 0).num_bytes;
      if (fill_bytes < text.size() && is_align(text[fill_bytes])) {
        spec.fill = std::string(text.substr(0, fill_bytes));
        at = fill_bytes;
      }
    }
    if (at < text.size() && is_align(text[at])) {
      spec.has_align = true;
      spec.is_left = text[at] == '<';
      spec.is_centered = text[at] == '^';
      spec.is_after_sign = text[at] == '=';
      ++at;
    }
    if (at < text.size() && (text[at] == '+' || text[at] == ' ' || text[at] == '-')) {
      if (text[at] != '-') spec.sign = text[at];
      ++at;
    }
    if (at < text.size() && text[at] == '#') {
      spec.is_alternate = true;
      ++at;
    }
    if (at < text.size() && text[at] == '0') {
      if (!spec.has_align) {
        spec.has_align = spec.is_after_sign = true;
        spec.fill = "0";
      }
      ++at;
    }
    spec.width = ParseNumberAt(text, at);
    if (at < text.size() && (text[at] == ',' || text[at] == '_')) spec.grouping = text[at++];
    if (at < text.size() && text[at] == '.') {
      spec.precision = static_cast<int>(ParseNumberAt(text, ++at));
    }
    if (at < text.size()) spec.type = text[at++];
    if (at != text.size()) Fail("Invalid format specifier {}", Shown(text));
    return spec;
  }

  void AppendFormatted(const Value& value, std::string_view spec_text, bool is_template) {
    if (spec_text.empty()) {
      out_.Append(ToText(runtime_, value));
      return;
    }
    FieldSpec spec = ParseSpec(spec_text);
    SpendField(runtime_, spec);
    const bool is_plain_bool = value.is_bool() && spec.type == '\0';
    if (value.is_number() && !is_plain_bool) {
      if (spec.type != '\0' &&
          std::string_view("bdoxXeEfFgGn%").find(spec.type) == std::string_view::npos) {
        Fail("Unknown format code '{}' for object of type '{}'", spec.type, TypeName(value));
      }
      if (value.is_float() && std::string_view("bdoxX").find(spec.type) != std::string_view::npos &&
          spec.type != '\0') {
        Fail("Unknown format code '{}' for object of type 'float'", spec.type);
      }
      out_.Append(FormatNumber(value, spec), is_template && !value.is_scalar_content());
      return;
    }
    if (!value.is_str() && !is_plain_bool) {
      Fail("unsupported format string passed to {}.__format__", TypeName(value));
    }
    if (spec.type != '\0' && spec.type != 's') {
      Fail("Unknown format code '{}' for object of type 'str'", spec.type);
    }
    if (!spec.has_align) spec.is_left = true;
    AppendTextField(out_, ToText(runtime_, value), spec, is_template);
  }

  Runtime& runtime_;
  const Text& format_;
  const CallArgs& args_;
  TextBuilder out_;
  size_t next_ = 0;
};

}  // namespace

Value FormatPercent(Runtime& runtime, const Text& format, const Value& values) {
  return PercentFormatter(runtime, format, values).Run();
}

Value FormatBraces(Runtime& runtime, const Text& format, const CallArgs& args) {
  return BraceFormatter(runtime, format, args).Run();
}

}  // namespace retort::jinja
