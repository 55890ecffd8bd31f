// Lark's grammars: rules in lower case, terminals in upper case. What does not change which texts
// are allowed (priorities, aliases, inlining marks) is left out and reported.
#include <algorithm>
#include <optional>

#include "retort/base/digest.h"
#include "retort/base/error.h"
#include "retort/grammar/cfg_builder.h"
#include "retort/grammar/lark_scanner.h"
#include "retort/grammar/regex_syntax.h"
#include "retort/grammar/schema_compiler.h"
#include "retort/grammar/unicode_classes.h"

namespace retort {
namespace grammar {
namespace {

// Terminals of lark's "common" library, as regular expressions.
constexpr std::pair<std::string_view, std::string_view> kCommon[] = {
    {"DIGIT", "[0-9]"},
    {"HEXDIGIT", "[0-9a-fA-F]"},
    {"INT", "[0-9]+"},
    {"SIGNED_INT", "[+-]?[0-9]+"},
    {"DECIMAL", "[0-9]+\\.[0-9]*|\\.[0-9]+"},
    {"FLOAT", "[0-9]+[eE][+-]?[0-9]+|([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?"},
    {"SIGNED_FLOAT", "[+-]?([0-9]+[eE][+-]?[0-9]+|([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?)"},
    {"NUMBER", "[0-9]+([eE][+-]?[0-9]+)?|([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?"},
    {"SIGNED_NUMBER",
     "[+-]?([0-9]+([eE][+-]?[0-9]+)?|([0-9]+\\.[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?)"},
    // A quote after an odd number of backslashes does not close it.
    {"ESCAPED_STRING", "\"([^\"\\\\\\n]|\\\\[^\\n])*\""},
    {"LCASE_LETTER", "[a-z]"},
    {"UCASE_LETTER", "[A-Z]"},
    {"LETTER", "[a-zA-Z]"},
    {"WORD", "[a-zA-Z]+"},
    {"CNAME", "[a-zA-Z_][a-zA-Z_0-9]*"},
    {"WS_INLINE", "[ \\t]+"},
    {"WS", "[ \\t\\f\\r\\n]+"},
    {"CR", "\\r"},
    {"LF", "\\n"},
    {"NEWLINE", "(\\r?\\n)+"},
    {"SH_COMMENT", "#[^\\n]*"},
    {"CPP_COMMENT", "//[^\\n]*"},
    {"C_COMMENT", "/\\*([^*]|\\*+[^*/])*\\*+/"},
    {"SQL_COMMENT", "--[^\\n]*"},
};

constexpr uint32_t kSubstringPartsMax = 20'000;
constexpr std::string_view kIgnored = "%ignore";  // the rule of what may stand between tokens

bool IsTerminalName(std::string_view name) {
  while (name.starts_with('_')) name.remove_prefix(1);
  return !name.empty() && name[0] >= 'A' && name[0] <= 'Z';
}

class LarkParser {
 public:
  LarkParser(std::string_view text, const JsonSchemaOptions& json, CfgBuilder* builder)
      : in_(text, builder), json_(json), builder_(builder) {}

  void Parse() {
    for (in_.Space(true); !in_.AtEnd(); in_.Space(true)) {
      if (in_.Peek() == '%') {
        Directive();
      } else {
        Definition();
      }
    }
    if (!ignored_.empty()) {
      CfgExpr choice;
      choice.kind = CfgExpr::Kind::kChoice;
      choice.position = ignored_[0].position;
      choice.parts = std::move(ignored_);
      CfgExpr repeat = CfgExpr::Repeat(std::move(choice), 0, kUnbounded);
      builder_->AddRegular(std::string(kIgnored), std::move(repeat), 0);
    }
    // Before the first token, too.
    CfgExpr root;
    root.parts = {Gap(0), Reference("start", 0)};
    builder_->Add("%start", std::move(root), 0);
  }

 private:
  static CfgExpr Reference(std::string name, size_t position) {
    CfgExpr expr;
    expr.kind = CfgExpr::Kind::kRef;
    expr.name = std::move(name);
    expr.position = position;
    return expr;
  }
  CfgExpr Language(Regex regex, size_t position) {
    CfgExpr expr;
    expr.kind = CfgExpr::Kind::kRegex;
    expr.regex = regex;
    expr.position = position;
    return expr;
  }
  CfgExpr Gap(size_t position) {
    if (!has_ignored_) return Language(kEpsilon, position);
    return Reference(std::string(kIgnored), position);
  }
  // A token of a rule, with what is ignored after it.
  CfgExpr Token(CfgExpr token) {
    if (in_terminal_ || !has_ignored_) return token;
    CfgExpr both;
    both.position = token.position;
    both.parts.push_back(std::move(token));
    both.parts.push_back(Gap(both.position));
    return both;
  }
  [[noreturn]] void Unsupported(size_t position, const std::string& why) const {
    builder_->Fail(ErrorCode::kUnsupported, position, why);
  }

  Regex Pattern(const std::string& pattern, size_t position) {
    try {
      return ParseRegex(pattern, RegexDialect::kUnicodeToken, false, json_.limits,
                        &builder_->pool());
    } catch (const Error& error) {
      builder_->Fail(error.code(), position, "regular expression " + error.message());
    }
  }

  void Directive() {
    const size_t start = in_.position();
    if (in_.AcceptWord("%ignore")) {
      in_.Space(false);
      // Known before any rule is read: see LarkScanner::HasIgnore.
      in_terminal_ = true;
      ignored_.push_back(Choice(0));
      in_terminal_ = false;
      in_.EndOfLine();
    } else if (in_.AcceptWord("%import")) {
      Import();
    } else if (in_.AcceptWord("%llguidance")) {
      in_.Space(false);
      in_.JsonBlock();
      builder_->Note("%llguidance: options of another engine, left out");
    } else {
      Unsupported(start, "this directive is not supported: %ignore and %import common.NAME are");
    }
  }

  // %import common.NAME [-> OTHER], %import common (NAME, ...)
  void Import() {
    in_.Space(false);
    const size_t start = in_.position();
    if (in_.Name() != "common") {
      Unsupported(start, "only 'common' can be imported: nothing else is read");
    }
    in_.Space(false);
    std::vector<std::pair<std::string, std::string>> names;
    if (in_.Accept(".")) {
      names.emplace_back(in_.Name(), "");
      in_.Space(false);
      names[0].second = names[0].first;
      if (in_.Accept("->")) {
        in_.Space(false);
        names[0].second = in_.Name();
      }
    } else {
      in_.Expect("(");
      do {
        in_.Space(true);
        std::string name = in_.Name();
        names.emplace_back(name, name);
        in_.Space(true);
      } while (in_.Accept(","));
      in_.Expect(")");
    }
    for (const auto& [name, as] : names) {
      const auto* found = std::find_if(std::begin(kCommon), std::end(kCommon),
                                       [&](const auto& common) { return common.first == name; });
      if (found == std::end(kCommon)) {
        Unsupported(start, "common." + name + " is not known");
      }
      builder_->AddRegular(as, Language(Pattern(std::string(found->second), start), start), start);
    }
    in_.EndOfLine();
  }

  void Definition() {
    const size_t start = in_.position();
    while (in_.Accept("?") || in_.Accept("!")) {  // of the tree, not of the language
    }
    const std::string name = in_.Name();
    if (in_.Peek() == '{') Unsupported(in_.position(), "templates are not supported");
    Attributes();
    if (in_.Accept(".")) {
      in_.Accept("-");
      in_.Number();
      builder_->Note("priority of '" + name + "': every reading is allowed anyway, left out");
    }
    Attributes();
    in_.Space(true);
    if (in_.Accept("::")) Unsupported(in_.position(), "parameters of rules are not supported");
    in_.Expect(":");
    in_.Space(true);
    in_terminal_ = IsTerminalName(name);
    CfgExpr expr = Choice(0);
    in_.EndOfLine();
    if (in_terminal_) {
      builder_->AddRegular(name, std::move(expr), start);
    } else {
      builder_->Add(name, std::move(expr), start);
    }
    in_terminal_ = false;
  }

  void Attributes() {
    if (!in_.Accept("[")) return;
    while (!in_.Accept("]")) {
      in_.Space(true);
      const size_t start = in_.position();
      const std::string name = in_.Name();
      if (name != "capture") {
        Unsupported(start, "attribute '" + name + "': only 'capture' is understood, and left out");
      }
      builder_->Note("attribute 'capture': nothing is captured, left out");
      in_.Space(true);
      if (in_.Accept("=")) {
        in_.Space(true);
        in_.String();
        in_.Space(true);
      }
      in_.Accept(",");
    }
  }

  CfgExpr Choice(int depth) {
    if (depth > json_.limits.depth_max) {
      builder_->Fail(ErrorCode::kExhausted, in_.position(), "groups nest too deep");
    }
    CfgExpr choice;
    choice.kind = CfgExpr::Kind::kChoice;
    choice.position = in_.position();
    if (in_.Peek() == '|')
      builder_->Note("a '|' that comes first: before it is an empty alternative");
    choice.parts.push_back(Conjunction(depth));
    while (in_.AcceptOr(depth > 0)) choice.parts.push_back(Conjunction(depth));
    if (choice.parts.size() == 1) return std::move(choice.parts[0]);
    return choice;
  }

  CfgExpr Conjunction(int depth) {
    CfgExpr both;
    both.kind = CfgExpr::Kind::kAnd;
    both.position = in_.position();
    const bool in_terminal = in_terminal_;
    do {
      in_.Space(depth > 0);
      both.parts.push_back(Sequence(depth));
      in_.Space(depth > 0);
    } while (in_.Accept("&"));
    if (in_.Accept("->")) {  // names a node of the tree
      in_.Space(depth > 0);
      in_.Name();
    }
    if (both.parts.size() == 1) return std::move(both.parts[0]);
    if (!in_terminal && has_ignored_) {
      Unsupported(both.position, "'&' beside %ignore belongs into a terminal");
    }
    return both;
  }

  CfgExpr Sequence(int depth) {
    CfgExpr sequence;
    sequence.position = in_.position();
    while (true) {
      in_.Space(depth > 0);
      std::optional<CfgExpr> item = Atom(depth);
      if (!item) break;
      sequence.parts.push_back(Repeats(std::move(*item)));
    }
    if (sequence.parts.size() == 1) return std::move(sequence.parts[0]);
    return sequence;
  }

  std::optional<CfgExpr> Atom(int depth) {
    const size_t start = in_.position();
    const char c = in_.Peek();
    if (c == '(' || c == '[') {
      in_.Accept(std::string_view(&c, 1));
      in_.Space(true);
      CfgExpr inner = Choice(depth + 1);
      in_.Space(true);
      in_.Expect(c == '(' ? ")" : "]");
      return c == '(' ? inner : CfgExpr::Repeat(std::move(inner), 0, 1);
    }
    if (c == '"') return Token(Literal());
    if (c == '/') {
      const LarkScanner::Pattern pattern = in_.RegexLiteral();
      return Token(Language(Pattern(pattern.text, start), start));
    }
    if (c == '~') {
      in_.Accept("~");
      if (!in_terminal_) Unsupported(start, "'~' before a part belongs into a terminal");
      in_.Space(false);
      std::optional<CfgExpr> inner = Atom(depth + 1);
      if (!inner || depth > json_.limits.depth_max) in_.Fail("'~' has nothing to complement");
      CfgExpr complement;
      complement.kind = CfgExpr::Kind::kNot;
      complement.position = start;
      complement.parts.push_back(std::move(*inner));
      return complement;
    }
    if (c == '%') return Token(Embedded());
    if (c == '<') {
      Unsupported(start, "special tokens (<|name|>, <[id]>) are not text and not supported");
    }
    if (c == '@') Unsupported(start, "named grammars (@name) are not supported");
    if (!LarkScanner::IsNameStart(c)) return {};
    std::string name = in_.Name();
    if (in_.Peek() == '{') Unsupported(in_.position(), "templates are not supported");
    const bool terminal = IsTerminalName(name);
    if (!terminal && in_terminal_) in_.Fail("a terminal cannot use the rule '" + name + "'");
    CfgExpr reference = Reference(std::move(name), start);
    return terminal ? Token(std::move(reference)) : reference;
  }

  // "text", "text"i, "a".."z"
  CfgExpr Literal() {
    const size_t start = in_.position();
    const std::u32string text = in_.String();
    if (in_.Accept("..")) {
      const std::u32string last = in_.String();
      if (text.size() != 1 || last.size() != 1 || text[0] > last[0]) {
        in_.Fail("a range is of two characters in order");
      }
      const CodePointSet set = CodePointSet{{text[0], last[0]}}.Intersect(CodePointSet::Any());
      return Language(builder_->pool().Set(set), start);
    }
    const bool fold = in_.AcceptFlag('i');
    if (!fold) return Language(builder_->pool().Literal(text), start);
    std::vector<Regex> letters;
    for (const char32_t c : text) {
      letters.push_back(builder_->pool().Set(FoldCase(CodePointSet::One(c))));
    }
    Regex folded = kEpsilon;
    for (size_t i = letters.size(); i-- > 0;) folded = builder_->pool().Cat(letters[i], folded);
    return Language(folded, start);
  }

  CfgExpr Embedded() {
    const size_t start = in_.position();
    CfgExpr expr;
    expr.position = start;
    if (in_.AcceptWord("%json")) {
      in_.Space(true);
      const std::string_view schema = in_.JsonBlock();
      expr.kind = CfgExpr::Kind::kGrammar;
      try {
        expr.grammar = CompileJsonSchema(schema, json_);
      } catch (const Error& error) {
        builder_->Fail(error.code(), start, "%json: " + error.message());
      }
      for (const std::string& warning : expr.grammar->report().warnings) {
        builder_->Warn("%json: " + warning);
      }
      for (const std::string& note : expr.grammar->report().annotations) {
        builder_->Note("%json: " + note);
      }
      for (const std::string& ignored : expr.grammar->report().ignored) {
        builder_->NoteIgnored("%json: " + ignored);
      }
      return expr;
    }
    if (!in_.AcceptWord("%regex")) {
      Unsupported(start, "%json and %regex are known inside a rule, nothing else");
    }
    in_.Space(true);
    const auto parts = LarkScanner::SubstringParts(in_.JsonBlock(), json_.limits);
    if (!parts) {
      builder_->Fail(ErrorCode::kInvalid, start,
                     "%regex: an object is expected with one of \"substring_words\", "
                     "\"substring_chars\" (texts) and \"substring_chunks\" (a list of texts)");
    }
    if (parts->size() > kSubstringPartsMax) {
      builder_->Fail(ErrorCode::kExhausted, start, "%regex: more than 20000 parts");
    }
    // Some of the parts that follow one another, or none.
    RegexPool& pool = builder_->pool();
    std::vector<Regex> begins{kEpsilon};
    Regex rest = kEpsilon;
    for (size_t i = parts->size(); i-- > 0;) {
      const Regex from_here = pool.Cat(pool.Literal((*parts)[i]), rest);
      begins.push_back(from_here);
      rest = pool.Optional(from_here);
    }
    return Language(pool.Or(begins), start);
  }

  CfgExpr Repeats(CfgExpr item) {
    while (true) {
      const size_t start = in_.position();
      if (in_.Accept("*")) {
        item = CfgExpr::Repeat(std::move(item), 0, kUnbounded);
      } else if (in_.Accept("+")) {
        item = CfgExpr::Repeat(std::move(item), 1, kUnbounded);
      } else if (in_.Accept("?")) {
        item = CfgExpr::Repeat(std::move(item), 0, 1);
      } else if (const auto count = in_.Count()) {
        if (count->first > count->second) {
          builder_->Fail(ErrorCode::kInvalid, start, "the minimum exceeds the maximum");
        }
        item = CfgExpr::Repeat(std::move(item), count->first, count->second);
      } else {
        return item;
      }
    }
  }

  LarkScanner in_;
  const JsonSchemaOptions& json_;
  CfgBuilder* builder_;
  bool in_terminal_ = false;
  const bool has_ignored_ = in_.HasIgnore();
  std::vector<CfgExpr> ignored_;
};

}  // namespace
}  // namespace grammar

std::shared_ptr<const Grammar> CompileLark(std::string_view text, const JsonSchemaOptions& json) {
  grammar::CfgBuilder builder(text, "grammar", json.limits);
  grammar::LarkParser(text, json, &builder).Parse();
  if (!builder.Has("start")) {
    builder.Fail(ErrorCode::kInvalid, 0, "no rule is named 'start': it is the whole text");
  }
  Sha256 digest;
  digest.Field("lark").Field(text);
  grammar::AddToDigest(json, &digest);
  return builder.Build("%start", digest.Hex());
}

}  // namespace retort
