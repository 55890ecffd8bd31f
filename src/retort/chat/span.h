#pragma once

#include <string>
#include <vector>

namespace retort {

// A piece of a rendered prompt. Only template pieces (what the template's author wrote) may yield
// control tokens; content (what came from a row, a user, a tool) is text whatever it spells.
struct Span {
  std::string text;
  bool is_template = false;

  bool operator==(const Span&) const = default;
};

// The text of all pieces.
inline std::string PlainText(const std::vector<Span>& spans) {
  std::string text;
  for (const Span& span : spans) text += span.text;
  return text;
}

}  // namespace retort
