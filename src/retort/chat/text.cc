#include "retort/chat/text.h"

#include <algorithm>

namespace retort::jinja {

bool Text::HasContent() const {
  return std::any_of(runs_.begin(), runs_.end(), [](const Run& run) { return !run.is_template; });
}

bool Text::IsTemplateAt(size_t position) const {
  if (runs_.size() == 1) return runs_.front().is_template;
  const auto run = std::upper_bound(runs_.begin(), runs_.end(), position,
                                    [](size_t at, const Run& r) { return at < r.end; });
  return run != runs_.end() && run->is_template;
}

void Text::Append(std::string_view bytes, bool is_template) {
  if (bytes.empty()) return;
  bytes_ += bytes;
  if (!runs_.empty() && runs_.back().is_template == is_template) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), is_template});
  }
}

void Text::Append(const Text& text, size_t begin, size_t end) {
  if (begin >= end) return;
  auto run = std::upper_bound(text.runs_.begin(), text.runs_.end(), begin,
                              [](size_t at, const Run& r) { return at < r.end; });
  for (size_t at = begin; at < end && run != text.runs_.end(); ++run) {
    const size_t piece_end = std::min(end, run->end);
    Append(text.view().substr(at, piece_end - at), run->is_template);
    at = piece_end;
  }
}

Text Text::Substr(size_t begin, size_t end) const {
  Text out;
  out.is_markup = is_markup;
  out.Append(*this, begin, end);
  return out;
}

std::vector<Span> Text::ToSpans() const {
  std::vector<Span> spans;
  spans.reserve(runs_.size());
  size_t begin = 0;
  for (const Run& run : runs_) {
    spans.push_back({bytes_.substr(begin, run.end - begin), run.is_template});
    begin = run.end;
  }
  return spans;
}

Text EscapeHtml(const Text& text) {
  Text out;
  out.is_markup = true;
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
  return out;
}

Text Strip(const Text& text, const std::string_view* chars, bool left, bool right) {
  const auto is_stripped = [&](size_t at, const CodePoint& point) {
    if (chars == nullptr) return IsSpace(point.value);
    const std::string_view wanted = text.view().substr(at, point.num_bytes);
    for (size_t i = 0; i < chars->size();) {
      const size_t num_bytes = DecodeAt(*chars, i).num_bytes;
      if (chars->substr(i, num_bytes) == wanted) return true;
      i += num_bytes;
    }
    return false;
  };
  size_t begin = 0;
  size_t end = text.size();
  while (left && begin < end) {
    const CodePoint point = DecodeAt(text.view(), begin);
    if (!is_stripped(begin, point)) break;
    begin += point.num_bytes;
  }
  while (right && end > begin) {
    const size_t start = PreviousStart(text.view(), end);
    if (!is_stripped(start, DecodeAt(text.view(), start))) break;
    end = start;
  }
  return text.Substr(begin, end);
}

}  // namespace retort::jinja
