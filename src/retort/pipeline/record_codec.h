#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "retort/base/json.h"
#include "retort/llm/request.h"
#include "retort/pipeline/answer_marks.h"
#include "retort/pipeline/ledger.h"

namespace retort {

// What a request's answer is stored as: its result, and of a completion how long the prompt was.
// Throws Error{kInternal} for one without a result.
RecordKind KindOf(const Request& request);
std::string EncodeResponse(const Response& response);
// Throws Error{kCorrupt} for bytes that EncodeResponse did not make of this kind.
Response DecodeResponse(RecordKind kind, std::string_view bytes);

// A row. Exact: numbers keep their kind and value.
std::string EncodeRow(const Json& row);
Json DecodeRow(std::string_view bytes);

// Outputs of a step, which hold for a model whose context has at least `context_tokens`.
struct StepOutputs {
  int64_t context_tokens = 0;
  AnswerMarks marks;
  std::string row;  // by EncodeRow
};
std::string EncodeOutputs(const StepOutputs& outputs);
StepOutputs DecodeOutputs(std::string_view bytes);

}  // namespace retort
