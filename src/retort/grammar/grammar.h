#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "retort/grammar/limits.h"

namespace retort {

namespace grammar {
struct GrammarIr;
}

// A compiled grammar: which texts are allowed. Knows no tokenizer. Immutable, thread-safe; share it
// as std::shared_ptr<const Grammar>.
class Grammar {
 public:
  // What the compiler has to say about a grammar that it accepted.
  struct Report {
    // Parts that seem meant to constrain and do not: unknown keywords and formats, with the nearest
    // known one. "/properties/x: 'minLenght' is no keyword: it constrains nothing (did you mean
    // 'minLength'?)". Nothing that constrains is ever left out silently.
    std::vector<std::string> warnings;
    // Parts that are not meant to constrain, or change nothing about the language.
    std::vector<std::string> annotations;
    // Keywords that lenient mode left out, with their pointer and the reason. Empty when strict.
    std::vector<std::string> ignored;
  };

  Grammar(std::shared_ptr<const grammar::GrammarIr> ir, Report report, std::string digest);
  ~Grammar();

  const Report& report() const { return report_; }
  // Names text, front end and options: equal digests, equal languages.
  const std::string& digest() const { return digest_; }
  const std::shared_ptr<const grammar::GrammarIr>& ir() const { return ir_; }

 private:
  std::shared_ptr<const grammar::GrammarIr> ir_;
  Report report_;
  std::string digest_;
};

struct JsonSchemaOptions {
  enum class PropertyOrder {
    kDeclared,  // as in "properties", then those named only in "required", then others
    kAny,
  };
  enum class Format {
    kAssert,      // every format of 2020-12 but idn-*
    kAnnotation,  // what the drafts do by default
  };
  enum class Numbers {
    kAnySpelling,  // a value in every way that grammar/json_number.h knows
    // Where only whole numbers are allowed, and where a number is listed ("enum", "const"), each in
    // one way: 1 and 0.5, never 1.0, 1e0, 0.50 or -0.
    kCanonical,
  };
  PropertyOrder property_order = PropertyOrder::kDeclared;
  Numbers numbers = Numbers::kAnySpelling;
  Format format = Format::kAssert;
  // What a schema without "$schema" is read as: 4, 6, 7, 2019 or 2020.
  int default_draft = 2020;
  // Leaves out what cannot be enforced, and says so in the report, instead of refusing.
  bool lenient = false;
  // Schemas that "$ref" may name by absolute URI, as JSON text. The network is never asked.
  std::map<std::string, std::string> remotes;
  grammar::Limits limits;
};

// Each turns text into a grammar, or throws Error: kInvalid (the text is wrong), kUnsupported (it
// is right but cannot be enforced exactly here), kExhausted (a limit of Limits is reached). The
// message says where (JSON pointer, or line and column), which keyword, and why.

// A JSON Schema of draft 4, 6, 7, 2019-09 or 2020-12 (by "$schema"; 2020-12 without), also in what
// APIs wrap it in (schema_wrapper.h). Allows JSON
// texts whose value the schema accepts, with whitespace only before tokens (not before ',' or ':',
// nor around the whole) and no more than one line feed and 32 spaces in a row; object keys never
// repeat; numbers with conditions are spelt as grammar/json_number.h says.
std::shared_ptr<const Grammar> CompileJsonSchema(std::string_view schema,
                                                 const JsonSchemaOptions& options = {});

// A text that the regular expression matches as a whole. Unicode; anchors are allowed and mean the
// text's ends; look-ahead up to the pattern's end; no look-behind, back-references or word
// boundaries. docs/structured_output.md says which dialect it is.
std::shared_ptr<const Grammar> CompileRegex(std::string_view pattern,
                                            const grammar::Limits& limits = {});

// One of the texts. At least one, none empty.
std::shared_ptr<const Grammar> CompileChoice(const std::vector<std::string>& choices,
                                             const grammar::Limits& limits = {});

// llama.cpp's GBNF; the rule "root" is the whole text. Left recursion and ambiguity are fine.
std::shared_ptr<const Grammar> CompileGbnf(std::string_view text,
                                           const grammar::Limits& limits = {});

// Lark's grammars, in the dialect that structured output uses: the rule "start" is the whole text;
// terminals are upper case; "%json {schema}" is a JSON value, compiled with `json`;
// "%regex {"substring_words": "..."}" (or _chars, or a list of _chunks) is any run of these parts;
// '&' and '~' in terminals are intersection and complement. Left recursion and ambiguity are fine:
// a text is allowed if the grammar derives it in any way, whatever a lexer would prefer.
// Priorities, aliases and inlining marks change nothing about that and are reported as annotations.
// %import knows lark's "common". Templates, look-around, special tokens are refused.
std::shared_ptr<const Grammar> CompileLark(std::string_view text,
                                           const JsonSchemaOptions& json = {});

// A part of a text with a grammar of its own, such as a call of a tool.
struct Tag {
  std::string trigger;  // not empty; in free text, its first letters on are free, all of it is not
  std::string begin;    // begins with the trigger
  std::shared_ptr<const Grammar> body;
  std::string end;
};
struct TagOptions {
  // How many parts: tool_choice "auto" is 0 to any number, "required" at least one.
  uint32_t least = 0;
  uint32_t most = UINT32_MAX;
  // Whether free text may follow the last part.
  bool text_after = true;
  grammar::Limits limits;
};
// Free text; where a trigger is completed, one of the tags with that trigger goes on: what is left
// of `begin`, its body, its end; then free text again. Throws Error{kInvalid} also for a trigger
// that can never be completed because another comes first in it.
std::shared_ptr<const Grammar> CompileTags(const std::vector<Tag>& tags,
                                           const TagOptions& options = {});

}  // namespace retort
