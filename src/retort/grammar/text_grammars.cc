// The front ends that need no parser of their own: one regular expression, a list of choices.
#include <algorithm>

#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/grammar/grammar.h"
#include "retort/grammar/grammar_ir.h"
#include "retort/grammar/regex_syntax.h"
#include "retort/grammar/utf8_text.h"

namespace retort {
namespace {

std::shared_ptr<const Grammar> FromLanguage(std::shared_ptr<grammar::GrammarIr> ir,
                                            grammar::Regex language, const std::string& digest) {
  using Kind = grammar::Symbol::Kind;
  if (ir->pool.IsEmpty(language)) {
    Throw(ErrorCode::kInvalid, "the expression matches no text at all");
  }
  ir->symbols = {{Kind::kText, language}, {Kind::kEnd, 0}};
  ir->rules.push_back({{0}});
  ir->root_is_rule = true;
  return std::make_shared<const Grammar>(std::move(ir), Grammar::Report{}, digest);
}

}  // namespace

Grammar::Grammar(std::shared_ptr<const grammar::GrammarIr> ir, Report report, std::string digest)
    : ir_(std::move(ir)), report_(std::move(report)), digest_(std::move(digest)) {}

Grammar::~Grammar() = default;

std::shared_ptr<const Grammar> CompileRegex(std::string_view pattern,
                                            const grammar::Limits& limits) {
  auto ir = std::make_shared<grammar::GrammarIr>(limits);
  grammar::Regex language = grammar::kNothing;
  try {
    language =
        grammar::ParseRegex(pattern, grammar::RegexDialect::kUnicode, false, limits, &ir->pool);
  } catch (const Error& error) {
    throw Error(error.code(), "regular expression: " + error.message());
  }
  return FromLanguage(std::move(ir), language, Sha256Hex("regex\n" + std::string(pattern)));
}

std::shared_ptr<const Grammar> CompileChoice(const std::vector<std::string>& choices,
                                             const grammar::Limits& limits) {
  if (choices.empty()) Throw(ErrorCode::kInvalid, "choices: at least one expected");
  auto ir = std::make_shared<grammar::GrammarIr>(limits);
  std::string key = "choice\n";
  std::vector<grammar::NamedString> names;
  for (size_t i = 0; i < choices.size(); ++i) {
    if (choices[i].empty()) Throw(ErrorCode::kInvalid, "choices[{}] is empty", i);
    if (choices[i].size() > limits.text_bytes_max) {
      Throw(ErrorCode::kExhausted, "choices[{}] is longer than {} bytes", i, limits.text_bytes_max);
    }
    std::u32string text = grammar::DecodeUtf8(choices[i]);
    if (grammar::EncodeUtf8(text) != choices[i]) {
      Throw(ErrorCode::kInvalid, "choices[{}] is not UTF-8", i);
    }
    key += std::to_string(choices[i].size()) + ":" + choices[i];
    names.push_back({std::move(text), 0});
  }
  std::sort(names.begin(), names.end(),
            [](const auto& a, const auto& b) { return a.text < b.text; });
  names.erase(std::unique(names.begin(), names.end(),
                          [](const auto& a, const auto& b) { return a.text == b.text; }),
              names.end());
  const grammar::Regex language = ir->pool.Names(names);
  return FromLanguage(std::move(ir), language, Sha256Hex(key));
}

}  // namespace retort
