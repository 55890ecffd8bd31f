#include "retort/pipeline/structured_output.h"

#include "retort/base/error.h"
#include "retort/base/text_file.h"
#include "retort/grammar/grammar.h"
#include "retort/pipeline/node_reader.h"

namespace retort {
namespace {

constexpr uint64_t kSchemaBytesMax = 4u << 20;

// A JSON Schema as a map, as JSON text, or in a file.
std::string SchemaText(const YamlNode& node, const std::filesystem::path& base_dir,
                       std::string& file) {
  if (node.kind != YamlNode::Kind::kScalar) return DumpJson(YamlToJson(node));
  const size_t first = node.text.find_first_not_of(" \t\r\n");
  const bool is_json = first != std::string::npos && node.text[first] == '{';
  if (is_json || node.text == "true" || node.text == "false") return node.text;
  const std::filesystem::path path = base_dir / node.text;
  std::string text = ReadTextFile(path, kSchemaBytesMax);
  file = path.string();
  return text;
}

}  // namespace

StructuredOutput ReadStructuredOutput(const YamlNode& node, const std::string& label,
                                      const std::filesystem::path& base_dir, Problems& problems) {
  StructuredOutput output;
  MapReader map(node, label, problems);
  const YamlNode* column = map.Take("column");
  const YamlNode* format = map.Take("format");
  const YamlNode* schema = map.Take("schema");
  if (const YamlNode* close = map.Take("close")) {
    output.close = ReadBool(*close, map.Label("close"), problems).value_or(false);
  }
  map.Finish();
  if (column != nullptr) {
    output.column = ReadText(*column, map.Label("column"), problems).value_or("");
    if (format != nullptr || schema != nullptr) {
      problems.Add(node.mark, "'{}' has 'column' and '{}': one or the other", label,
                   format != nullptr ? "format" : "schema");
    }
    return output;
  }
  if (format == nullptr || schema == nullptr) {
    problems.Add(node.mark, "'{}' needs 'format' and 'schema', or 'column'", label);
    return output;
  }
  const auto kind = ReadChoice(*format, map.Label("format"), {"json", "regex"}, problems);
  if (!kind) return output;
  std::string file;
  try {
    if (*kind == "json") {
      output.constraint = JsonSchemaConstraint(SchemaText(*schema, base_dir, file));
    } else if (const auto pattern = ReadText(*schema, map.Label("schema"), problems)) {
      output.constraint = RegexConstraint(*pattern);
    }
    if (output.constraint == nullptr) return output;
    const auto grammar = CompileConstraint(*output.constraint);
    for (const std::string& warning : grammar->report().warnings) {
      problems.Warn(schema->mark, "'{}': {}{}{}", map.Label("schema"), file,
                    file.empty() ? "" : ": ", warning);
    }
  } catch (const Error& error) {
    output.constraint = nullptr;
    problems.Add({error.code(), schema->mark,
                  fmt::format("'{}': {}{}{}", map.Label("schema"), file, file.empty() ? "" : ": ",
                              error.message()),
                  false});
  }
  return output;
}

std::shared_ptr<const ConstraintText> StructuredOutputOf(const Json& value) {
  const auto is_text = [&](const char* key) {
    return value.contains(key) && value[key].is_string();
  };
  if (!value.is_object() || !is_text("format") || !value.contains("schema") || value.size() != 2) {
    Throw(ErrorCode::kInvalid,
          "a row's structured output must be {{\"format\": ..., \"schema\": ...}}, found {}",
          DumpJson(value).substr(0, 200));
  }
  const Json& schema = value["schema"];
  if (value["format"] == "json") {
    return JsonSchemaConstraint(is_text("schema") ? schema.get<std::string>() : DumpJson(schema));
  }
  if (value["format"] == "regex" && is_text("schema")) {
    return RegexConstraint(schema.get<std::string>());
  }
  Throw(ErrorCode::kInvalid,
        "a row's structured output has the format {}, expected \"json\", or \"regex\" with a "
        "text as its schema",
        DumpJson(value["format"]));
}

void RowSchemas::Check(const ConstraintText& constraint) {
  const std::string key = ConstraintKey(constraint);
  {
    const std::lock_guard lock(mutex_);
    if (known_.contains(key)) return;
  }
  const std::vector<std::string> warnings = CompileConstraint(constraint)->report().warnings;
  if (strict_ && !warnings.empty()) {
    Throw(ErrorCode::kInvalid, "the row's structured_output: {}", warnings[0]);
  }
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kKnownMax) known_.clear();
  known_.insert(key);
  for (const std::string& warning : warnings) {
    // A kind is the same in every place of a schema: "/properties/x: 'minLenght' is ...".
    const std::string kind = warning.substr(warning.find(": "));
    if (kinds_.size() >= kKindsMax || !kinds_.insert(kind).second) continue;
    warn_(fmt::format("a row's structured_output: {}{}", warning,
                      kinds_.size() == kKindsMax ? " (others are not told)" : ""));
  }
}

}  // namespace retort
