#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "retort/pipeline/step.h"
#include "retort/tasks/task_prompt.h"

namespace retort {

// Scores of texts, in one of two ways.
//   listwise: one prompt shows all texts of the row and asks for a line per text; the answer is
//   parsed. expectation: one prompt per text, and the mean of the score tokens under the model's
//   distribution for the next token (DEITA's own scorers, Liu et al. 2024): one forward pass,
//   nothing to parse.
struct ListScorerTexts {
  std::string_view list_variable;  // of the listwise template: "instructions"
  std::string_view item_variable;  // of the expectation template: "instruction"
  std::string_view listwise_template;
  std::string_view expectation_template;
  std::span<const std::string_view> other_variables;  // of both: "instruction" for responses
};

class ListScorer {
 public:
  ListScorer(const Params& params, const ListScorerTexts& texts);

  // One finite score per item of `inputs[list_variable]`, null for an item that is null. Throws
  // Error{kInvalid} if the answer cannot be read.
  Json Scores(const Row& inputs, RowContext& context) const;

  // What is likely a mistake in the template.
  std::vector<std::string> Warnings() const;

 private:
  Json ListwiseScores(const Row& inputs, size_t num_items, RowContext& context) const;
  Json ExpectedScores(const Row& inputs, RowContext& context) const;

  std::string list_variable_;
  std::string item_variable_;
  std::vector<std::string> other_variables_;
  bool expectation_;
  std::vector<std::string> score_tokens_;
  std::vector<double> score_values_;
  TaskPrompt prompt_;
};

// The step type of a list scorer: its inputs are the other variables and the list, its outputs
// `scores` and `model_name`. The views in `texts` must last as long as the program.
StepType MakeListScorerType(std::string_view name, std::string_view summary,
                            const ListScorerTexts& texts);

// The scale of listwise scores, both ends included.
inline constexpr double kListwiseScoreMin = 1;
inline constexpr double kListwiseScoreMax = 6;

// What such an answer is asked to be: one line "[2] Score: 4" for each of the `num_items`, in
// order, with whole numbers on the scale.
std::shared_ptr<const ConstraintText> ListwiseConstraint(size_t num_items);

// Reads an answer of lines such as "[2] Score: 4". Lines count by their number, not by their place:
// words around them do no harm. Throws Error{kInvalid} if an item of the `num_items` has no score,
// two different ones, or one off the scale.
std::vector<double> ParseListwiseScores(std::string_view answer, size_t num_items);

}  // namespace retort
