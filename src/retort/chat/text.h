#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "retort/chat/span.h"

namespace retort::jinja {

// A string whose every byte is known to come from the template or from content. Bytes lie in one
// block; provenance is a list of runs beside it, so that searching is as cheap as in a plain
// string.
class Text {
 public:
  // Bytes from the end of the run before (or 0) up to `end`.
  struct Run {
    size_t end;
    bool is_template;
  };

  Text() = default;
  Text(std::string bytes, bool is_template) : bytes_(std::move(bytes)) {
    if (!bytes_.empty()) runs_.push_back({bytes_.size(), is_template});
  }
  static Text Template(std::string bytes) { return Text(std::move(bytes), true); }
  static Text Content(std::string bytes) { return Text(std::move(bytes), false); }

  const std::string& bytes() const { return bytes_; }
  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const std::vector<Run>& runs() const { return runs_; }

  // True if some byte came from content. An empty text has none. O(1).
  bool HasContent() const {
    // Neighbouring runs differ in kind.
    return runs_.size() > 1 || (runs_.size() == 1 && !runs_.front().is_template);
  }
  // Provenance of the byte at `position` (< size()). O(log runs).
  bool IsTemplateAt(size_t position) const;

  void Append(std::string_view bytes, bool is_template);
  void Append(const Text& text) { Append(text, 0, text.size()); }
  // Appends bytes [begin, end) of `text`, which must not be *this.
  void Append(const Text& text, size_t begin, size_t end);

  Text Substr(size_t begin, size_t end) const;
  std::vector<Span> ToSpans() const;

  // What the text takes.
  uint64_t memory_bytes() const { return bytes_.size() + runs_.size() * kRunBytes; }
  static constexpr uint64_t kRunBytes = 2 * sizeof(Run);  // a vector has room to grow

  // Python's Markup: adding plain text to it escapes that text as HTML.
  bool is_markup = false;

 private:
  std::string bytes_;
  std::vector<Run> runs_;
};

}  // namespace retort::jinja
