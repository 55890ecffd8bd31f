// Filters over text.
#include <algorithm>

#include "retort/chat/filters.h"
#include "retort/chat/formatting.h"
#include "retort/chat/operations.h"
#include "retort/chat/strings.h"

namespace retort::jinja {
namespace {

using Args = const CallArgs&;

template <Text (*map)(Runtime&, const Text&)>
Value Mapped(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("filter", args, {}, 0);
  return runtime.StrBuilt(map(runtime, ToText(runtime, self)));
}

// The filter `title` begins words after spaces, hyphens and opening brackets; the method differs.
Text TitleFilter(Runtime& runtime, const Text& text) {
  bool is_start = true;
  return MapCodePoints(runtime, text, [&](char32_t c, size_t) {
    std::string out = is_start ? ToUpper(c) : ToLower(c);
    is_start = IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    return out;
  });
}

Text Escape(Runtime& runtime, const Text& text) {
  return text.is_markup ? text : EscapeHtml(runtime, text);
}

Text Plain(Runtime&, const Text& text) { return text; }

Text Safe(Runtime&, const Text& text) {
  Text out = text;
  out.is_markup = true;
  return out;
}

Value Trim(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("trim", args, {"chars"}, 0);
  const Text text = ToText(runtime, self);
  if (!bound.Has(0) || bound[0].is_none()) {
    return runtime.StrBuilt(Strip(runtime, text, nullptr, true, true));
  }
  const std::string_view chars = bound.Str(0).view();
  return runtime.StrBuilt(Strip(runtime, text, &chars, true, true));
}

Value ReplaceFilter(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("replace", args, {"old", "new", "count"}, 2);
  const int64_t count = bound.Has(2) && bound[2].is_none() ? kNoLimit : bound.OrInt(2, kNoLimit);
  Text text = ToText(runtime, self);
  text.is_markup = false;
  return runtime.StrBuilt(
      Replace(runtime, text, ToText(runtime, bound[0]), ToText(runtime, bound[1]), count));
}

Value Center(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("center", args, {"width"}, 0);
  return runtime.StrBuilt(Pad(runtime, ToText(runtime, self), bound.OrInt(0, 80),
                              Text::Template(" "), Justify::kCenter));
}

Value Indent(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("indent", args, {"width", "first", "blank"}, 0);
  RequireDefined(self);
  if (!self.is_str())
    Fail("can only concatenate {} (not \"str\") to {}", TypeName(self), TypeName(self));
  Text indent;
  if (bound.Has(0) && bound[0].is_str()) {
    runtime.SpendText(bound[0].text().size());
    indent = bound[0].text();
  } else {
    const int64_t width = std::max<int64_t>(bound.OrInt(0, 4), 0);
    indent = Pad(runtime, Text(), width, Text::Template(" "), Justify::kLeft);
  }
  const bool indents_blank = bound.OrBool(2, false);
  TextBuilder text(runtime);
  text.Append(self.text());
  text.Append("\n", true);  // so that the last line counts, even if it is empty
  TextBuilder out(runtime);
  bool is_first = true;
  for (const Value& line : SplitLines(runtime, text.text(), false)) {
    if (!is_first) out.Append("\n", true);
    if (is_first ? bound.OrBool(1, false) : indents_blank || !line.text().empty()) {
      out.Append(indent);
    }
    out.Append(line.text());
    is_first = false;
  }
  return runtime.StrBuilt(out.Take(self.text().is_markup));
}

Value Truncate(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("truncate", args, {"length", "killwords", "end", "leeway"}, 0);
  RequireDefined(self);
  if (!self.is_str()) Fail("object of type '{}' cannot be truncated", TypeName(self));
  const Text& text = self.text();
  const int64_t length = bound.OrInt(0, 255);
  const Text end = bound.Has(2) ? bound.Str(2) : Text::Template("...");
  const int64_t leeway = bound.Has(3) && bound[3].is_none() ? 5 : bound.OrInt(3, 5);
  runtime.SpendText(end.size());
  const auto end_length = static_cast<int64_t>(CountCodePoints(end.view()));
  if (length < end_length) Fail("expected length >= {}, got {}", end_length, length);
  if (leeway < 0) Fail("expected leeway >= 0, got {}", leeway);
  runtime.SpendLook(text.size());
  const auto size = static_cast<int64_t>(CountCodePoints(text.view()));
  if (length >= size || size - length <= leeway) return self;
  size_t cut = ByteOffset(text.view(), static_cast<size_t>(length - end_length));
  if (!bound.OrBool(1, false)) {
    const size_t space = text.view().substr(0, cut).rfind(' ');
    if (space != std::string_view::npos) cut = space;
  }
  TextBuilder out(runtime);
  out.Append(text, 0, cut);
  out.Append(end);
  return runtime.StrBuilt(out.Take(text.is_markup));
}

Value WordCount(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("wordcount", args, {}, 0);
  const Text text = ToText(runtime, self);
  int64_t count = 0;
  bool is_inside = false;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = DecodeAt(text.view(), at);
    if (IsWord(point.value) && !is_inside) ++count;
    is_inside = IsWord(point.value);
    at += point.num_bytes;
  }
  return Value::Int(count);
}

Value Format(Runtime& runtime, const Value& self, Args args) {
  if (!args.positional.empty() && !args.named.empty()) {
    Fail("can't handle positional and keyword arguments at the same time");
  }
  if (args.named.empty()) {
    return FormatPercent(runtime, ToText(runtime, self), runtime.Tuple(args.positional));
  }
  Runtime::Entries named;
  for (const auto& [name, value] : args.named) named.emplace_back(runtime.Str(name), value);
  return FormatPercent(runtime, ToText(runtime, self), runtime.Dict(std::move(named)));
}

Value UrlEncode(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("urlencode", args, {}, 0);
  TextBuilder out(runtime);
  const auto quote = [&](const Text& text, bool is_path) {
    static constexpr std::string_view kSafe = "_.-~";
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text.bytes()[i];
      const bool is_alnum =
          (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (c == ' ' && !is_path) {  // in a query
        out.Append("+", text.IsTemplateAt(i));
      } else if (is_alnum || kSafe.find(c) != kSafe.npos || (c == '/' && is_path)) {
        out.Append(text, i, i + 1);
      } else {
        out.Append(fmt::format("%{:02X}", static_cast<unsigned char>(c)), text.IsTemplateAt(i));
      }
    }
  };
  if (self.is_str() || !IsIterable(self)) {
    quote(ToText(runtime, self), true);
    return runtime.StrBuilt(out.Take());
  }
  std::vector<Value> pairs;
  if (self.is_dict()) {
    for (const auto& [key, value] : self.dict().items) {
      Append(runtime, &pairs, runtime.Tuple({key, value}));
    }
  } else {
    pairs = ToVector(runtime, self);
  }
  for (const Value& pair : pairs) {
    const std::vector<Value> parts = ToVector(runtime, pair);
    if (parts.size() != 2) Fail("not enough values to unpack (expected 2, got {})", parts.size());
    if (!out.text().empty()) out.Append("&", true);
    quote(ToText(runtime, parts[0]), false);
    out.Append("=", true);
    quote(ToText(runtime, parts[1]), false);
  }
  return runtime.StrBuilt(out.Take());
}

constexpr FilterEntry kFilters[] = {
    {"capitalize", Mapped<Capitalize>},
    {"center", Center},
    {"e", Mapped<Escape>},
    {"escape", Mapped<Escape>},
    {"forceescape", Mapped<EscapeHtml>},
    {"format", Format},
    {"indent", Indent},
    {"lower", Mapped<Lower>},
    {"replace", ReplaceFilter},
    {"safe", Mapped<Safe>},
    {"string", Mapped<Plain>},
    {"title", Mapped<TitleFilter>},
    {"trim", Trim},
    {"truncate", Truncate},
    {"upper", Mapped<Upper>},
    {"urlencode", UrlEncode},
    {"wordcount", WordCount},
};

}  // namespace

std::span<const FilterEntry> TextFilters() { return kFilters; }

}  // namespace retort::jinja
