#include "retort/pipeline/answer_marks.h"

#include "retort/base/error.h"
#include "retort/pipeline/record_codec.h"

namespace retort {

// Outputs without marks are stored as they are; with marks as a list, which no row is.
std::string EncodeOutputs(const Row& outputs, const AnswerMarks& marks) {
  if (!marks.any()) return EncodeRow(outputs);
  return EncodeRow(Json::array({outputs, marks.cut, marks.missing}));
}

StoredOutputs DecodeOutputs(std::string_view bytes) {
  Json stored = DecodeRow(bytes);
  if (!stored.is_array()) return {std::move(stored), {}};
  if (stored.size() != 3 || !stored[1].is_boolean() || !stored[2].is_boolean()) {
    Throw(ErrorCode::kCorrupt, "a record of the cache is no row: delete the cache");
  }
  return {std::move(stored[0]), {.cut = stored[1].get<bool>(), .missing = stored[2].get<bool>()}};
}

}  // namespace retort
