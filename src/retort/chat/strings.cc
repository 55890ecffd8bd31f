#include "retort/chat/strings.h"

#include <string.h>  // memmem

#include <algorithm>
#include <set>

namespace retort::jinja {
namespace {

bool IsCased(char32_t c) { return IsUpper(c) || IsLower(c) || IsTitle(c); }

// Line ends of str.splitlines(): their length at `at`, or 0.
size_t LineEndAt(std::string_view text, size_t at, const CodePoint& point) {
  switch (point.value) {
    case '\r':
      return at + 1 < text.size() && text[at + 1] == '\n' ? 2 : 1;
    case '\n':
    case 0x0B:
    case 0x0C:
    case 0x1C:
    case 0x1D:
    case 0x1E:
    case 0x85:
    case 0x2028:
    case 0x2029:
      return point.num_bytes;
    default:
      return 0;
  }
}

// A search counts this much of the text at a time: a stop is not to wait for all of it.
constexpr size_t kSearchBytesAtOnce = 1 << 20;

Value Piece(Runtime& runtime, const Text& text, size_t begin, size_t end) {
  return runtime.Str(text.Substr(begin, end));
}

size_t SkipSpaces(std::string_view text, size_t at) {
  while (at < text.size()) {
    const CodePoint point = DecodeAt(text, at);
    if (!IsSpace(point.value)) break;
    at += point.num_bytes;
  }
  return at;
}

size_t SkipWord(std::string_view text, size_t at) {
  while (at < text.size()) {
    const CodePoint point = DecodeAt(text, at);
    if (IsSpace(point.value)) break;
    at += point.num_bytes;
  }
  return at;
}

// Backwards: the end of what precedes the spaces (or the word) that ends at `at`.
size_t BackOver(std::string_view text, size_t at, bool over_spaces) {
  while (at > 0) {
    const size_t start = PreviousStart(text, at);
    if (IsSpace(DecodeAt(text, start).value) != over_spaces) break;
    at = start;
  }
  return at;
}

}  // namespace

size_t FindText(Runtime& runtime, std::string_view text, std::string_view wanted, size_t from) {
  runtime.SpendLook(wanted.size());
  if (from > text.size()) return std::string_view::npos;
  if (wanted.empty()) return from;
  const size_t step = std::max(kSearchBytesAtOnce, wanted.size());
  for (size_t at = from; text.size() - at >= wanted.size(); at += step) {
    const std::string_view window = text.substr(at, step + wanted.size() - 1);
    // Two-way search in the C library: linear, whatever is looked for.
    const void* found = memmem(window.data(), window.size(), wanted.data(), wanted.size());
    if (found == nullptr) {
      runtime.SpendLook(window.size());
      if (text.size() - at <= step) break;
      continue;
    }
    const auto place = static_cast<size_t>(static_cast<const char*>(found) - window.data());
    runtime.SpendLook(place);
    return at + place;
  }
  return std::string_view::npos;
}

BackwardSearch::BackwardSearch(Runtime& runtime, std::string_view text, std::string_view wanted)
    : runtime_(runtime) {
  runtime.SpendText(text.size());
  runtime.SpendText(wanted.size());
  text_.assign(text.rbegin(), text.rend());
  wanted_.assign(wanted.rbegin(), wanted.rend());
}

size_t BackwardSearch::Find(size_t end) const {
  const size_t found = FindText(runtime_, text_, wanted_, text_.size() - end);
  return found == std::string::npos ? found : text_.size() - found - wanted_.size();
}

Text Upper(Runtime& runtime, const Text& text) {
  return MapCodePoints(runtime, text, [](char32_t c, size_t) { return ToUpper(c); });
}

Text Lower(Runtime& runtime, const Text& text) {
  return MapCodePoints(runtime, text, [](char32_t c, size_t) { return ToLower(c); });
}

Text Capitalize(Runtime& runtime, const Text& text) {
  return MapCodePoints(runtime, text,
                       [](char32_t c, size_t i) { return i == 0 ? ToTitle(c) : ToLower(c); });
}

Text TitleCase(Runtime& runtime, const Text& text) {
  bool follows_cased = false;
  return MapCodePoints(runtime, text, [&](char32_t c, size_t) {
    std::string out = follows_cased ? ToLower(c) : ToTitle(c);
    follows_cased = IsCased(c);
    return out;
  });
}

Text SwapCase(Runtime& runtime, const Text& text) {
  return MapCodePoints(runtime, text,
                       [](char32_t c, size_t) { return IsUpper(c) ? ToLower(c) : ToUpper(c); });
}

Text EscapeHtml(Runtime& runtime, const Text& text) {
  TextBuilder out(runtime);
  size_t begin = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    std::string_view entity;
    switch (text.bytes()[at]) {
      case '&':
        entity = "&amp;";
        break;
      case '<':
        entity = "&lt;";
        break;
      case '>':
        entity = "&gt;";
        break;
      case '\'':
        entity = "&#39;";
        break;
      case '"':
        entity = "&#34;";
        break;
      default:
        continue;
    }
    out.Append(text, begin, at);
    out.Append(entity, text.IsTemplateAt(at));
    begin = at + 1;
  }
  out.Append(text, begin, text.size());
  return out.Take(/*is_markup=*/true);
}

Text Strip(Runtime& runtime, const Text& text, const std::string_view* chars, bool left,
           bool right) {
  std::set<char32_t> wanted;
  if (chars != nullptr) {
    runtime.SpendItems(0, chars->size());
    for (size_t at = 0; at < chars->size();) {
      const CodePoint point = DecodeAt(*chars, at);
      wanted.insert(point.value);
      at += point.num_bytes;
    }
  }
  const auto is_stripped = [&](char32_t c) {
    return chars == nullptr ? IsSpace(c) : wanted.count(c) > 0;
  };
  size_t begin = 0;
  size_t end = text.size();
  while (left && begin < end) {
    const CodePoint point = DecodeAt(text.view(), begin);
    if (!is_stripped(point.value)) break;
    begin += point.num_bytes;
  }
  while (right && end > begin) {
    const size_t start = PreviousStart(text.view(), end);
    if (!is_stripped(DecodeAt(text.view(), start).value)) break;
    end = start;
  }
  runtime.Spend(1 + (text.size() - (end - begin)));
  runtime.SpendText(end - begin);
  return text.Substr(begin, end);
}

Text Replace(Runtime& runtime, const Text& text, const Text& old, const Text& by, int64_t count) {
  TextBuilder out(runtime);
  size_t at = 0;
  for (int64_t num_done = 0; count < 0 || num_done < count; ++num_done) {
    size_t found = at;
    if (!old.empty()) {
      found = FindText(runtime, text.view(), old.view(), at);
      if (found == std::string::npos) break;
    } else if (num_done > 0) {  // between all code points, and at both ends
      if (at >= text.size()) break;
      found = at + DecodeAt(text.view(), at).num_bytes;
    }
    out.Append(text, at, found);
    out.Append(by);
    at = found + old.size();
  }
  out.Append(text, at, text.size());
  return out.Take(text.is_markup);
}

std::vector<Value> Split(Runtime& runtime, const Text& text, const Text* separator, int64_t count) {
  std::vector<Value> parts;
  const std::string_view view = text.view();
  if (separator == nullptr) {
    runtime.SpendLook(text.size());
    for (size_t at = SkipSpaces(view, 0); at < view.size(); at = SkipSpaces(view, at)) {
      const bool is_rest = count >= 0 && static_cast<int64_t>(parts.size()) == count;
      const size_t end = is_rest ? view.size() : SkipWord(view, at);  // the rest keeps its spaces
      Append(runtime, &parts, Piece(runtime, text, at, end));
      if (is_rest) break;
      at = end;
    }
    return parts;
  }
  if (separator->empty()) Fail("empty separator");
  size_t at = 0;
  while (count < 0 || static_cast<int64_t>(parts.size()) < count) {
    const size_t found = FindText(runtime, view, separator->view(), at);
    if (found == std::string_view::npos) break;
    Append(runtime, &parts, Piece(runtime, text, at, found));
    at = found + separator->size();
  }
  Append(runtime, &parts, Piece(runtime, text, at, text.size()));
  return parts;
}

std::vector<Value> SplitFromRight(Runtime& runtime, const Text& text, const Text* separator,
                                  int64_t count) {
  std::vector<Value> parts;  // last first
  const std::string_view view = text.view();
  if (separator == nullptr) {
    runtime.SpendLook(text.size());
    for (size_t end = BackOver(view, view.size(), true); end > 0; end = BackOver(view, end, true)) {
      const bool is_rest = count >= 0 && static_cast<int64_t>(parts.size()) == count;
      const size_t begin = is_rest ? 0 : BackOver(view, end, false);
      Append(runtime, &parts, Piece(runtime, text, begin, end));
      if (is_rest) break;
      end = begin;
    }
  } else {
    if (separator->empty()) Fail("empty separator");
    const BackwardSearch search(runtime, view, separator->view());
    size_t end = text.size();
    while (count < 0 || static_cast<int64_t>(parts.size()) < count) {
      const size_t found = search.Find(end);
      if (found == std::string_view::npos) break;
      Append(runtime, &parts, Piece(runtime, text, found + separator->size(), end));
      end = found;
    }
    Append(runtime, &parts, Piece(runtime, text, 0, end));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Value> SplitLines(Runtime& runtime, const Text& text, bool keep_ends) {
  std::vector<Value> lines;
  runtime.SpendLook(text.size());
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = DecodeAt(text.view(), at);
    const size_t end_bytes = LineEndAt(text.view(), at, point);
    if (end_bytes == 0) {
      at += point.num_bytes;
      continue;
    }
    Append(runtime, &lines, Piece(runtime, text, begin, at + (keep_ends ? end_bytes : 0)));
    at += end_bytes;
    begin = at;
  }
  if (begin < text.size()) Append(runtime, &lines, Piece(runtime, text, begin, text.size()));
  return lines;
}

Text Pad(Runtime& runtime, const Text& text, int64_t width, const Text& fill, Justify justify) {
  if (fill.empty() || DecodeAt(fill.view(), 0).num_bytes != fill.size())
    Fail("the fill character must be exactly one character long");
  runtime.SpendLook(text.size());
  const auto length = static_cast<int64_t>(CountCodePoints(text.view()));
  TextBuilder out(runtime);
  const int64_t padding = width > length ? width - length : 0;
  int64_t before = justify == Justify::kRight ? padding : 0;
  // The odd one goes where Python puts it.
  if (justify == Justify::kCenter) before = padding / 2 + (padding & width & 1);
  out.Fill(fill, static_cast<size_t>(before));
  out.Append(text);
  out.Fill(fill, static_cast<size_t>(padding - before));
  return out.Take(text.is_markup);
}

Text Join(Runtime& runtime, const Text& separator, const std::vector<Value>& items) {
  TextBuilder out(runtime);
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.Append(separator);
    if (items[i].is_str()) {
      out.Append(items[i].text());
    } else {
      out.Append(ToText(runtime, items[i]));
    }
  }
  return out.Take();
}

}  // namespace retort::jinja
