// Methods of str, list, tuple and dict.
#include <algorithm>
#include <cmath>

#include "retort/chat/builtins.h"
#include "retort/chat/formatting.h"
#include "retort/chat/operations.h"
#include "retort/chat/strings.h"

namespace retort::jinja {
namespace {

using Args = const CallArgs&;
using Method = Value (*)(Runtime&, const Value& self, Args args);

struct MethodEntry {
  std::string_view name;
  Method method;
};

Value Integer(size_t value) { return Value::Int(static_cast<int64_t>(value)); }

// --- str

template <Text (*map)(Runtime&, const Text&)>
Value Mapped(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("str method", args, {}, 0);
  return runtime.StrBuilt(map(runtime, self.text()));
}

template <bool left, bool right>
Value StripMethod(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("strip", args, {"chars"}, 0);
  if (!bound.Has(0) || bound[0].is_none()) {
    return runtime.StrBuilt(Strip(runtime, self.text(), nullptr, left, right));
  }
  const std::string_view chars = bound.Str(0).view();
  return runtime.StrBuilt(Strip(runtime, self.text(), &chars, left, right));
}

template <bool from_right>
Value SplitMethod(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("split", args, {"sep", "maxsplit"}, 0);
  const Text* separator = bound.Has(0) && !bound[0].is_none() ? &bound.Str(0) : nullptr;
  const auto split = from_right ? SplitFromRight : Split;
  return runtime.List(split(runtime, self.text(), separator, bound.OrInt(1, kNoLimit)));
}

Value SplitLinesMethod(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("splitlines", args, {"keepends"}, 0);
  return runtime.List(SplitLines(runtime, self.text(), bound.OrBool(0, false)));
}

template <bool from_right>
Value Partition(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("partition", args, {"sep"}, 1);
  const Text& text = self.text();
  const Text& separator = bound.Str(0);
  if (separator.empty()) Fail("empty separator");
  const size_t found =
      from_right ? BackwardSearch(runtime, text.view(), separator.view()).Find(text.size())
                 : FindText(runtime, text.view(), separator.view());
  if (found == std::string::npos) {
    const Value empty = Value::Literal("");
    return from_right ? runtime.Tuple({empty, empty, self}) : runtime.Tuple({self, empty, empty});
  }
  const size_t end = found + separator.size();
  return runtime.Tuple({runtime.Str(text.Substr(0, found)), runtime.Str(text.Substr(found, end)),
                        runtime.Str(text.Substr(end, text.size()))});
}

// [start, end) of a search in `text` as byte offsets; false if it is empty the impossible way.
bool SearchRange(Runtime& runtime, const Text& text, const BoundArgs& bound, size_t* begin,
                 size_t* end) {
  *begin = 0;
  *end = text.size();
  if (!bound.Has(1) && !bound.Has(2)) return true;
  runtime.SpendLook(text.size());
  const auto length = static_cast<int64_t>(CountCodePoints(text.view()));
  const auto resolve = [&](size_t i, int64_t otherwise) {
    int64_t at = bound.Has(i) && !bound[i].is_none() ? bound.OrInt(i, 0) : otherwise;
    if (at < 0) at = std::max<int64_t>(at + length, 0);
    return at;
  };
  const int64_t first = resolve(1, 0);
  const int64_t last = std::min(resolve(2, length), length);
  if (first > last) return false;
  *begin = ByteOffset(text.view(), static_cast<size_t>(first));
  *end = ByteOffset(text.view(), static_cast<size_t>(last));
  return true;
}

template <bool at_end>
Value HasAffix(Runtime& runtime, const Value& self, Args args) {
  const std::string_view name = at_end ? "endswith" : "startswith";
  const BoundArgs bound(name, args, {"affix", "start", "end"}, 1);
  size_t begin = 0;
  size_t end = 0;
  if (!SearchRange(runtime, self.text(), bound, &begin, &end)) return Value::Bool(false);
  const std::string_view view = self.text().view().substr(begin, end - begin);
  const auto matches = [&](const Value& affix) {
    if (!affix.is_str()) {
      RequireDefined(affix);
      Fail("{} first arg must be str or a tuple of str, not {}", name, TypeName(affix));
    }
    runtime.SpendLook(std::min(affix.bytes().size(), view.size()));
    return at_end ? view.ends_with(affix.bytes()) : view.starts_with(affix.bytes());
  };
  if (!bound[0].is_tuple()) return Value::Bool(matches(bound[0]));
  const auto& affixes = bound[0].items();
  return Value::Bool(std::any_of(affixes.begin(), affixes.end(), matches));
}

template <bool from_right, bool must_find>
Value Find(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("find", args, {"sub", "start", "end"}, 1);
  const Text& text = self.text();
  const std::string_view wanted = bound.Str(0).view();
  size_t begin = 0;
  size_t end = 0;
  size_t found = std::string_view::npos;
  if (SearchRange(runtime, text, bound, &begin, &end)) {
    const std::string_view view = text.view().substr(begin, end - begin);
    found = !from_right      ? FindText(runtime, view, wanted)
            : wanted.empty() ? view.size()
                             : BackwardSearch(runtime, view, wanted).Find(view.size());
  }
  if (found != std::string_view::npos) {
    runtime.SpendLook(begin + found);
    return Integer(CountCodePoints(text.view().substr(0, begin + found)));
  }
  if (must_find) Fail("substring not found");
  return Value::Int(-1);
}

Value CountMethod(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("count", args, {"sub", "start", "end"}, 1);
  const std::string_view wanted = bound.Str(0).view();
  size_t begin = 0;
  size_t end = 0;
  if (!SearchRange(runtime, self.text(), bound, &begin, &end)) return Value::Int(0);
  const std::string_view view = self.text().view().substr(begin, end - begin);
  if (wanted.empty()) {
    runtime.SpendLook(view.size());
    return Integer(CountCodePoints(view) + 1);
  }
  size_t count = 0;
  for (size_t at = FindText(runtime, view, wanted); at != std::string_view::npos; ++count) {
    at = FindText(runtime, view, wanted, at + wanted.size());
  }
  return Integer(count);
}

Value ReplaceMethod(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("replace", args, {"old", "new", "count"}, 2);
  return runtime.StrBuilt(
      Replace(runtime, self.text(), bound.Str(0), bound.Str(1), bound.OrInt(2, kNoLimit)));
}

Value JoinMethod(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("join", args, {"iterable"}, 1);
  const std::vector<Value> items = ToVector(runtime, bound[0]);
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_str()) {
      Fail("sequence item {}: expected str instance, {} found", i, TypeName(items[i]));
    }
  }
  return runtime.StrBuilt(Join(runtime, self.text(), items));
}

template <Justify justify>
Value PadMethod(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("center", args, {"width", "fillchar"}, 1);
  const Text fill = bound.Has(1) ? bound.Str(1) : Text::Template(" ");
  return runtime.StrBuilt(Pad(runtime, self.text(), bound.OrInt(0, 0), fill, justify));
}

Value ZeroFill(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("zfill", args, {"width"}, 1);
  const Text& text = self.text();
  const bool has_sign = !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+');
  const size_t sign_bytes = has_sign ? 1 : 0;
  TextBuilder out(runtime);
  out.Append(text, 0, sign_bytes);
  runtime.SpendText(text.size());
  out.Append(Pad(runtime, text.Substr(sign_bytes, text.size()),
                 std::max<int64_t>(bound.OrInt(0, 0), 1) - static_cast<int64_t>(sign_bytes),
                 Text::Template("0"), Justify::kRight));
  return runtime.StrBuilt(out.Take());
}

template <bool at_end>
Value RemoveAffix(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("removeprefix", args, {"affix"}, 1);
  const Text& text = self.text();
  const Text& affix = bound.Str(0);
  runtime.SpendLook(std::min(text.size(), affix.size()));
  if (at_end && text.view().ends_with(affix.view())) {
    return runtime.Str(text.Substr(0, text.size() - affix.size()));
  }
  if (!at_end && text.view().starts_with(affix.view())) {
    return runtime.Str(text.Substr(affix.size(), text.size()));
  }
  return self;
}

Value ExpandTabs(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("expandtabs", args, {"tabsize"}, 0);
  const int64_t size = std::min<int64_t>(bound.OrInt(0, 8), 1000);
  int64_t column = 0;
  return runtime.StrBuilt(MapCodePoints(runtime, self.text(), [&](char32_t c, size_t) {
    if (c == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      column += spaces;
      return std::string(static_cast<size_t>(spaces), ' ');
    }
    column = c == '\n' || c == '\r' ? 0 : column + 1;
    std::string out;
    AppendUtf8(out, c);
    return out;
  }));
}

Value FormatMethod(Runtime& runtime, const Value& self, Args args) {
  return FormatBraces(runtime, self.text(), args);
}

// True if the str has a code point and all are of the class.
template <bool (*is_class)(char32_t)>
Value AllAre(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("str method", args, {}, 0);
  runtime.SpendLook(self.text().size());
  const std::string_view view = self.text().view();
  for (size_t at = 0; at < view.size();) {
    const CodePoint point = DecodeAt(view, at);
    if (!is_class(point.value)) return Value::Bool(false);
    at += point.num_bytes;
  }
  return Value::Bool(!view.empty());
}

bool IsAlnum(char32_t c) { return IsAlpha(c) || IsNumeric(c); }
bool IsDigitChar(char32_t c) {
  return IsDecimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || (c >= 0x2070 && c <= 0x2089);
}

template <Value (*all)(Runtime&, const Value&, Args)>
Value OrEmpty(Runtime& runtime, const Value& self, Args args) {
  return self.text().empty() ? Value::Bool(true) : all(runtime, self, args);
}

bool IsAsciiChar(char32_t c) { return c < 0x80; }

Value IsCase(Runtime& runtime, const Value& self, bool (*is_case)(char32_t),
             bool (*is_other)(char32_t)) {
  runtime.SpendLook(self.text().size());
  bool has_cased = false;
  const std::string_view view = self.text().view();
  for (size_t at = 0; at < view.size();) {
    const CodePoint point = DecodeAt(view, at);
    if (is_other(point.value) || IsTitle(point.value)) return Value::Bool(false);
    has_cased = has_cased || is_case(point.value);
    at += point.num_bytes;
  }
  return Value::Bool(has_cased);
}

Value IsUpperMethod(Runtime& runtime, const Value& self, Args) {
  return IsCase(runtime, self, IsUpper, IsLower);
}
Value IsLowerMethod(Runtime& runtime, const Value& self, Args) {
  return IsCase(runtime, self, IsLower, IsUpper);
}

Value IsTitleMethod(Runtime& runtime, const Value& self, Args) {
  runtime.SpendLook(self.text().size());
  bool follows_cased = false;
  bool has_cased = false;
  const std::string_view view = self.text().view();
  for (size_t at = 0; at < view.size();) {
    const CodePoint point = DecodeAt(view, at);
    const bool is_start = IsUpper(point.value) || IsTitle(point.value);
    if ((is_start && follows_cased) || (IsLower(point.value) && !follows_cased)) {
      return Value::Bool(false);
    }
    follows_cased = is_start || IsLower(point.value);
    has_cased = has_cased || follows_cased;
    at += point.num_bytes;
  }
  return Value::Bool(has_cased);
}

constexpr MethodEntry kStrMethods[] = {
    {"capitalize", Mapped<Capitalize>},
    {"casefold", Mapped<Lower>},
    {"center", PadMethod<Justify::kCenter>},
    {"count", CountMethod},
    {"endswith", HasAffix<true>},
    {"expandtabs", ExpandTabs},
    {"find", Find<false, false>},
    {"format", FormatMethod},
    {"index", Find<false, true>},
    {"isalnum", AllAre<IsAlnum>},
    {"isalpha", AllAre<IsAlpha>},
    {"isascii", OrEmpty<AllAre<IsAsciiChar>>},
    {"isdecimal", AllAre<IsDecimal>},
    {"isdigit", AllAre<IsDigitChar>},
    {"islower", IsLowerMethod},
    {"isnumeric", AllAre<IsNumeric>},
    {"isprintable", OrEmpty<AllAre<IsPrintable>>},
    {"isspace", AllAre<IsSpace>},
    {"istitle", IsTitleMethod},
    {"isupper", IsUpperMethod},
    {"join", JoinMethod},
    {"ljust", PadMethod<Justify::kLeft>},
    {"lower", Mapped<Lower>},
    {"lstrip", StripMethod<true, false>},
    {"partition", Partition<false>},
    {"removeprefix", RemoveAffix<false>},
    {"removesuffix", RemoveAffix<true>},
    {"replace", ReplaceMethod},
    {"rfind", Find<true, false>},
    {"rindex", Find<true, true>},
    {"rjust", PadMethod<Justify::kRight>},
    {"rpartition", Partition<true>},
    {"rsplit", SplitMethod<true>},
    {"rstrip", StripMethod<false, true>},
    {"split", SplitMethod<false>},
    {"splitlines", SplitLinesMethod},
    {"startswith", HasAffix<false>},
    {"strip", StripMethod<true, true>},
    {"swapcase", Mapped<SwapCase>},
    {"title", Mapped<TitleCase>},
    {"upper", Mapped<Upper>},
    {"zfill", ZeroFill},
};

// --- list, tuple

Value CountItem(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("count", args, {"value"}, 1);
  const auto count =
      std::count_if(self.items().begin(), self.items().end(),
                    [&](const Value& item) { return Equal(runtime, item, bound[0]); });
  return Integer(static_cast<size_t>(count));
}

Value IndexOfItem(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("index", args, {"value"}, 1);
  for (size_t i = 0; i < self.items().size(); ++i) {
    if (Equal(runtime, self.items()[i], bound[0])) return Integer(i);
  }
  Fail("{} is not in list", Shown(bound[0]));
}

Value Copy(Runtime&, const Value& self, Args args) {
  BoundArgs("copy", args, {}, 0);
  return self;  // immutable
}

constexpr MethodEntry kListMethods[] = {
    {"copy", Copy},
    {"count", CountItem},
    {"index", IndexOfItem},
};
constexpr MethodEntry kTupleMethods[] = {
    {"count", CountItem},
    {"index", IndexOfItem},
};

// --- dict

template <DictView::What what>
Value View(Runtime& runtime, const Value& self, Args args) {
  BoundArgs("dict view", args, {}, 0);
  return Value::Of(runtime.New<DictView>(self, what));
}

Value Get(Runtime& runtime, const Value& self, Args args) {
  const BoundArgs bound("get", args, {"key", "default"}, 1);
  const Value* found = self.dict().Find(runtime, bound[0]);
  return found != nullptr ? *found : bound.Or(1, Value::None());
}

constexpr MethodEntry kDictMethods[] = {
    {"copy", Copy},
    {"get", Get},
    {"items", View<DictView::What::kItems>},
    {"keys", View<DictView::What::kKeys>},
    {"values", View<DictView::What::kValues>},
};

// --- float

Value IsInteger(Runtime&, const Value& self, Args args) {
  BoundArgs("is_integer", args, {}, 0);
  return Value::Bool(self.is_integral() || std::floor(self.float_value()) == self.float_value());
}

constexpr MethodEntry kFloatMethods[] = {{"is_integer", IsInteger}};

// The sandbox lets nobody change what it was given.
constexpr std::string_view kUnsafeListMethods[] = {"append", "clear",  "extend",  "insert",
                                                   "pop",    "remove", "reverse", "sort"};
constexpr std::string_view kUnsafeDictMethods[] = {"clear", "pop", "popitem", "setdefault",
                                                   "update"};

template <size_t n>
bool FindIn(Runtime& runtime, const MethodEntry (&methods)[n], const Value& self,
            std::string_view name, Value* value) {
  for (const MethodEntry& entry : methods) {
    if (entry.name != name) continue;
    const Method method = entry.method;
    *value = Value::Of(runtime.New<Function>(
        "builtin_function_or_method", std::string(name),
        [self, method](Runtime& r, Args args) { return method(r, self, args); }, self.depth()));
    return true;
  }
  return false;
}

template <size_t n>
bool IsUnsafe(Runtime& runtime, const std::string_view (&names)[n], const Value& self,
              std::string_view name, Value* value) {
  if (std::find(names, names + n, name) == names + n) return false;
  *value = runtime.Undefined(
      fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, TypeName(self)));
  return true;
}

}  // namespace

bool FindMethod(Runtime& runtime, const Value& self, std::string_view name, Value* value) {
  switch (self.kind()) {
    case Kind::kStr:
      return FindIn(runtime, kStrMethods, self, name, value);
    case Kind::kList:
      return FindIn(runtime, kListMethods, self, name, value) ||
             IsUnsafe(runtime, kUnsafeListMethods, self, name, value);
    case Kind::kTuple:
      if (self.is_group() && (name == "grouper" || name == "list")) {
        *value = self.items()[name == "list" ? 1 : 0];
        return true;
      }
      return FindIn(runtime, kTupleMethods, self, name, value);
    case Kind::kDict:
      return FindIn(runtime, kDictMethods, self, name, value) ||
             IsUnsafe(runtime, kUnsafeDictMethods, self, name, value);
    case Kind::kFloat:
      return FindIn(runtime, kFloatMethods, self, name, value);
    default:
      return false;
  }
}

}  // namespace retort::jinja
