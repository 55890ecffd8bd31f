#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "retort/base/json.h"
#include "retort/llm/constraint_text.h"
#include "retort/pipeline/problem.h"
#include "retort/pipeline/yaml_node.h"

namespace retort {

// The column in which a step's own code sees its row's structured output.
inline constexpr std::string_view kStructuredOutputInput = "structured_output";

// `structured_output:` of a step: what its answers must be. As in Distilabel:
//   structured_output: {format: json, schema: {type: object, ...}}   # or a file's name, or JSON
//   structured_output: {format: regex, schema: "[1-6]"}
// and, beyond it, {column: NAME}: each row's own, in the same form; `close: true` with either.
struct StructuredOutput {
  std::shared_ptr<const ConstraintText> constraint;  // null: none, or in a column
  std::string column;                                // "": none
  bool close = false;                                // Generation::close

  bool is_set() const { return constraint != nullptr || !column.empty(); }
};

// Reads and compiles it; what is wrong is added to `problems` with its place. Files are found from
// `base_dir`.
StructuredOutput ReadStructuredOutput(const YamlNode& node, const std::string& label,
                                      const std::filesystem::path& base_dir, Problems& problems);

// A row's own, {"format": "json" | "regex", "schema": ...}. Throws Error{kInvalid} for anything
// else.
std::shared_ptr<const ConstraintText> StructuredOutputOf(const Json& value);

}  // namespace retort
