#include "retort/chat/strings.h"

#include <algorithm>

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

Value Piece(const Text& text, size_t begin, size_t end) {
  return Value::Str(text.Substr(begin, end));
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

Text Upper(const Text& text) {
  return MapCodePoints(text, [](char32_t c, size_t) { return ToUpper(c); });
}

Text Lower(const Text& text) {
  return MapCodePoints(text, [](char32_t c, size_t) { return ToLower(c); });
}

Text Capitalize(const Text& text) {
  return MapCodePoints(text, [](char32_t c, size_t i) { return i == 0 ? ToTitle(c) : ToLower(c); });
}

Text TitleCase(const Text& text) {
  bool follows_cased = false;
  return MapCodePoints(text, [&](char32_t c, size_t) {
    std::string out = follows_cased ? ToLower(c) : ToTitle(c);
    follows_cased = IsCased(c);
    return out;
  });
}

Text SwapCase(const Text& text) {
  return MapCodePoints(text,
                       [](char32_t c, size_t) { return IsUpper(c) ? ToLower(c) : ToUpper(c); });
}

Text Replace(Runtime& runtime, const Text& text, const Text& old, const Text& by, int64_t count) {
  Text out;
  out.is_markup = text.is_markup;
  size_t at = 0;
  int64_t num_done = 0;
  runtime.SpendText(text.size());
  while (count < 0 || num_done < count) {
    size_t found = at;
    size_t next = at;
    if (old.empty()) {  // between all code points, and at both ends
      if (num_done > 0) {
        if (at >= text.size()) break;
        found = next = at + DecodeAt(text.view(), at).num_bytes;
      }
    } else {
      found = text.bytes().find(old.bytes(), at);
      if (found == std::string::npos) break;
      next = found + old.size();
    }
    out.Append(text, at, found);
    out.Append(by);
    runtime.Spend(1 + by.size() / 16);
    if (out.size() > runtime.options().text_bytes_max) runtime.SpendText(out.size());
    at = next;
    ++num_done;
  }
  out.Append(text, at, text.size());
  return out;
}

std::vector<Value> Split(Runtime& runtime, const Text& text, const Text* separator, int64_t count) {
  std::vector<Value> parts;
  const std::string_view view = text.view();
  runtime.SpendText(text.size());
  if (separator == nullptr) {
    for (size_t at = SkipSpaces(view, 0); at < view.size(); at = SkipSpaces(view, at)) {
      const bool is_rest = count >= 0 && static_cast<int64_t>(parts.size()) == count;
      const size_t end = is_rest ? view.size() : SkipWord(view, at);  // the rest keeps its spaces
      parts.push_back(Piece(text, at, end));
      runtime.Spend(2);
      if (is_rest) break;
      at = end;
    }
    return parts;
  }
  if (separator->empty()) Fail("empty separator");
  size_t at = 0;
  while (count < 0 || static_cast<int64_t>(parts.size()) < count) {
    const size_t found = view.find(separator->view(), at);
    if (found == std::string_view::npos) break;
    parts.push_back(Piece(text, at, found));
    runtime.Spend(2);
    at = found + separator->size();
  }
  parts.push_back(Piece(text, at, text.size()));
  return parts;
}

std::vector<Value> SplitFromRight(Runtime& runtime, const Text& text, const Text* separator,
                                  int64_t count) {
  std::vector<Value> parts;  // last first
  const std::string_view view = text.view();
  runtime.SpendText(text.size());
  if (separator == nullptr) {
    for (size_t end = BackOver(view, view.size(), true); end > 0; end = BackOver(view, end, true)) {
      const bool is_rest = count >= 0 && static_cast<int64_t>(parts.size()) == count;
      const size_t begin = is_rest ? 0 : BackOver(view, end, false);
      parts.push_back(Piece(text, begin, end));
      runtime.Spend(2);
      if (is_rest) break;
      end = begin;
    }
  } else {
    if (separator->empty()) Fail("empty separator");
    size_t end = text.size();
    while (count < 0 || static_cast<int64_t>(parts.size()) < count) {
      if (end < separator->size()) break;
      const size_t found = view.rfind(separator->view(), end - separator->size());
      if (found == std::string_view::npos) break;
      parts.push_back(Piece(text, found + separator->size(), end));
      runtime.Spend(2);
      end = found;
    }
    parts.push_back(Piece(text, 0, end));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Text> SplitLines(const Text& text, bool keep_ends) {
  std::vector<Text> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = DecodeAt(text.view(), at);
    const size_t end_bytes = LineEndAt(text.view(), at, point);
    if (end_bytes == 0) {
      at += point.num_bytes;
      continue;
    }
    lines.push_back(text.Substr(begin, at + (keep_ends ? end_bytes : 0)));
    at += end_bytes;
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.Substr(begin, text.size()));
  return lines;
}

Text Pad(Runtime& runtime, const Text& text, int64_t width, const Text& fill, Justify justify) {
  if (CountCodePoints(fill.view()) != 1)
    Fail("the fill character must be exactly one character long");
  const auto length = static_cast<int64_t>(CountCodePoints(text.view()));
  if (width <= length) return text;
  const int64_t padding = width - length;
  if (static_cast<uint64_t>(padding) > runtime.options().text_bytes_max) {
    runtime.SpendText(runtime.options().text_bytes_max + 1);
  }
  runtime.SpendText(text.size() + static_cast<size_t>(padding) * fill.size());
  int64_t before = justify == Justify::kRight ? padding : 0;
  // The odd one goes where Python puts it.
  if (justify == Justify::kCenter) before = padding / 2 + (padding & width & 1);
  Text out;
  out.is_markup = text.is_markup;
  for (int64_t i = 0; i < before; ++i) out.Append(fill);
  out.Append(text);
  for (int64_t i = before; i < padding; ++i) out.Append(fill);
  return out;
}

Text Join(Runtime& runtime, const Text& separator, const std::vector<Value>& items) {
  Text out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.Append(separator);
    const Text piece = ToText(items[i]);
    runtime.Spend(1 + (separator.size() + piece.size()) / 16);
    out.Append(piece);
    if (out.size() > runtime.options().text_bytes_max) runtime.SpendText(out.size());
  }
  return out;
}

}  // namespace retort::jinja
