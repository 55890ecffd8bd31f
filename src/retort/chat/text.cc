#include "retort/chat/text.h"

#include <algorithm>

namespace retort::jinja {

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

}  // namespace retort::jinja
