#pragma once

#include <string>
#include <vector>

#include "retort/base/error.h"

namespace retort {

// A place in the text a person wrote. Line and column count from 1; 0: nowhere in particular.
struct Mark {
  std::string file;
  int line = 0;
  int column = 0;
};

// "deita.yaml:12", or "deita.yaml" without a line.
std::string MarkText(const Mark& mark);

// One thing that is wrong with a pipeline, for the person who wrote it.
struct Problem {
  ErrorCode code = ErrorCode::kInvalid;
  Mark mark;
  std::string message;  // without the place
  bool warning = false;
};

// What was found wrong so far. Checking goes on after a problem, so that a person sees all at once.
class Problems {
 public:
  template <typename... Args>
  void Add(const Mark& mark, fmt::format_string<Args...> format, Args&&... args) {
    items_.push_back(
        {ErrorCode::kInvalid, mark, fmt::format(format, std::forward<Args>(args)...), false});
  }
  template <typename... Args>
  void Warn(const Mark& mark, fmt::format_string<Args...> format, Args&&... args) {
    items_.push_back(
        {ErrorCode::kInvalid, mark, fmt::format(format, std::forward<Args>(args)...), true});
  }
  void Add(Problem problem) { items_.push_back(std::move(problem)); }
  void MakeWarningsErrors() {
    for (Problem& item : items_) item.warning = false;
  }

  // In file order; errors and warnings.
  const std::vector<Problem>& items() const { return items_; }
  size_t num_errors() const;
  bool ok() const { return num_errors() == 0; }

  // Throws one Error with a line "file:line: message" per problem that is no warning, if there is
  // any, with the code of the first.
  void ThrowIfAny() const;

  // By file and line. Stable.
  void Sort();

 private:
  std::vector<Problem> items_;
};

// "file:line: message".
std::string PlacedMessage(const Problem& problem);
// The same, with "warning: " before the message of one.
std::string ProblemText(const Problem& problem);

}  // namespace retort
