#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "retort/chat/template.h"

namespace retort::jinja {

enum class TokenKind : uint8_t {
  kEnd,
  kData,           // text outside of tags
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kName,
  kString,   // text is unescaped
  kInteger,  // text without underscores
  kFloat,
  kOperator,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 0;
  std::string text;
};

// A token as messages name it.
std::string Describe(const Token& token);

// The message of a syntax error: "origin:line: ..." as Error{kInvalid}.
[[noreturn]] void FailSyntax(std::string_view origin, int line, std::string_view message);

// Splits a template into tokens; white space control, comments and raw blocks are done with here.
// The last token is kEnd.
std::vector<Token> Tokenize(std::string_view source, std::string_view origin,
                            const TemplateOptions& options);

}  // namespace retort::jinja
