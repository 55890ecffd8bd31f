#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace retort {

class Grammar;

// What a completion must be, as its author wrote it. The model compiles it for its own tokenizer,
// once for all requests that say the same; a server is sent it as it is. A value.
struct ConstraintText {
  enum class Kind {
    kJsonSchema,  // `text` is a JSON Schema: CompileJsonSchema
    kRegex,       // `text` is a regular expression: CompileRegex
    kGbnf,        // `text` is a grammar in GBNF: CompileGbnf
    kLark,        // `text` is one of Lark's: CompileLark
    kChoice,      // one of `choices`: CompileChoice
  };
  Kind kind = Kind::kJsonSchema;
  std::string text;
  std::vector<std::string> choices;
  // Of JSON Schemas; see JsonSchemaOptions.
  bool any_property_order = false;
  bool formats_are_annotations = false;

  bool operator==(const ConstraintText&) const = default;
};

std::shared_ptr<const ConstraintText> JsonSchemaConstraint(std::string schema);
std::shared_ptr<const ConstraintText> RegexConstraint(std::string pattern);
std::shared_ptr<const ConstraintText> GbnfConstraint(std::string grammar);
std::shared_ptr<const ConstraintText> LarkConstraint(std::string grammar);
std::shared_ptr<const ConstraintText> ChoiceConstraint(std::vector<std::string> choices);

// Part of every key: to be raised whenever the same constraint may allow other texts than before,
// or spell one of them otherwise.
inline constexpr uint64_t kConstraintVersion = 2;

// SHA-256 of everything in it: equal keys, equal constraints. About 1 ns per byte.
std::string ConstraintKey(const ConstraintText& constraint);

// Throws what grammar.h says: the message names the place and what is wrong. At most
// about 250 ms of processor time, after which a constraint is refused.
std::shared_ptr<const Grammar> CompileConstraint(const ConstraintText& constraint);

}  // namespace retort
