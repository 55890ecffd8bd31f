#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "retort/pipeline/step.h"

namespace retort {

// The text of an answer without white space at its ends, or to the letter if `structured_output`
// asked for it. Nothing if it is empty, or not what was asked for.
std::optional<std::string> AnswerText(const Answer& answer);

// The texts of several answers to one row, null where there is none: one bad answer does not take
// the others along. Throws if there is no text at all; the raw texts are kept with the row. `what`
// names one of them ("answer").
std::vector<Json> AnswerTexts(const std::vector<Answer>& answers, std::string_view what,
                              RowContext& context);

// The columns that say more of answers than their texts, for tasks that generate: parameters
// `add_finish_reason` and `add_raw_output`.
class AnswerColumns {
 public:
  explicit AnswerColumns(const Params& params)
      : finish_reason_(params.Bool("add_finish_reason")), raw_(params.Bool("add_raw_output")) {}

  // Names of the columns, each with `prefix`.
  std::vector<std::string> Names(std::string_view prefix = "") const;
  // `answers` holds null for a text that no answer made. One value per answer if `as_list`, else
  // the last one's.
  void Put(const std::vector<const Answer*>& answers, bool as_list, Row& outputs,
           std::string_view prefix = "") const;

 private:
  bool finish_reason_;
  bool raw_;
};

// The parameters of AnswerColumns, after a task's own.
std::vector<ParamSpec> WithAnswerParams(std::vector<ParamSpec> own);

}  // namespace retort
