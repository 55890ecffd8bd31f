#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

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

// Tells what the schemas of a step's rows seem meant to constrain and do not: each kind once, for a
// data set has many rows. Thread-safe.
class RowSchemas {
 public:
  // `strict`: what would be told is the row's error.
  RowSchemas(bool strict, std::function<void(std::string_view)> warn)
      : strict_(strict), warn_(std::move(warn)) {}

  // Throws what CompileConstraint throws, and Error{kInvalid} for a warning if strict.
  void Check(const ConstraintText& constraint);

 private:
  // Schemas that are known to be compiled before; beyond, they are forgotten and compiled again.
  static constexpr size_t kKnownMax = 4096;
  // Kinds of warnings that are told; misspelt keywords are few, or nobody reads all of them.
  static constexpr size_t kKindsMax = 100;

  const bool strict_;
  const std::function<void(std::string_view)> warn_;
  std::mutex mutex_;
  std::unordered_set<std::string> known_;  // by ConstraintKey
  std::unordered_set<std::string> kinds_;
};

}  // namespace retort
