#include "retort/pipeline/problem.h"

#include <algorithm>
#include <tuple>

namespace retort {

std::string MarkText(const Mark& mark) {
  return mark.line > 0 ? fmt::format("{}:{}", mark.file, mark.line) : mark.file;
}

namespace {

std::string Placed(const Mark& mark, std::string_view text) {
  const std::string place = MarkText(mark);
  return fmt::format("{}{}{}", place, place.empty() ? "" : ": ", text);
}

}  // namespace

std::string PlacedMessage(const Problem& problem) { return Placed(problem.mark, problem.message); }

std::string ProblemText(const Problem& problem) {
  return Placed(problem.mark, (problem.warning ? "warning: " : "") + problem.message);
}

size_t Problems::num_errors() const {
  return static_cast<size_t>(std::count_if(items_.begin(), items_.end(),
                                           [](const Problem& item) { return !item.warning; }));
}

void Problems::ThrowIfAny() const {
  std::string text;
  const Problem* first = nullptr;
  for (const Problem& item : items_) {
    if (item.warning) continue;
    if (first == nullptr) {
      first = &item;
    } else {
      text += '\n';
    }
    text += ProblemText(item);
  }
  if (first != nullptr) throw Error(first->code, text);
}

void Problems::Sort() {
  std::stable_sort(items_.begin(), items_.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.mark.file, a.mark.line) < std::tie(b.mark.file, b.mark.line);
  });
}

}  // namespace retort
