#include "retort/chat/parser.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "retort/chat/expr_parser.h"
#include "retort/chat/unicode.h"

namespace retort::jinja {
namespace {

using EndTags = std::initializer_list<std::string_view>;
using StmtPtr = std::unique_ptr<Stmt>;

class StatementParser : public ExprParser {
 public:
  using ExprParser::ExprParser;

  std::shared_ptr<const Program> Run() {
    program_.body = ParseBody({});
    for (const int name_id : read_) {
      const bool is_free = declared_.count(name_id) == 0 && name_id >= kNumSpecialNames;
      if (is_free) program_.free_names.push_back(program_.names[static_cast<size_t>(name_id)]);
    }
    std::sort(program_.free_names.begin(), program_.free_names.end());
    return std::make_shared<const Program>(std::move(program_));
  }

 private:
  using Rule = StmtPtr (StatementParser::*)(int line);

  static StmtPtr Make(StmtKind kind, int line) {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->line = line;
    return stmt;
  }

  // Statements up to a tag whose name is in `end_tags`, which is then the current token. Without
  // end tags, up to the end of the template.
  Body ParseBody(EndTags end_tags) {
    Nesting nesting(*this);
    Body body;
    while (true) {
      const Token& token = Current();
      switch (token.kind) {
        case TokenKind::kEnd:
          if (end_tags.size() == 0) return body;
          FailHere(fmt::format("unexpected end of template, expected the tag '{}'",
                               fmt::join(end_tags, "' or '")));
        case TokenKind::kData: {
          auto stmt = Make(StmtKind::kText, token.line);
          stmt->text = Value::Literal(token.text);
          body.push_back(std::move(stmt));
          Advance();
          break;
        }
        case TokenKind::kVariableBegin: {
          auto stmt = Make(StmtKind::kOutput, token.line);
          Advance();
          stmt->expr = ParseTuple();
          Expect(TokenKind::kVariableEnd, "end of print statement");
          body.push_back(std::move(stmt));
          break;
        }
        default:
          Expect(TokenKind::kBlockBegin, "a tag");
          if (Current().kind != TokenKind::kName) FailUnexpected("a tag name");
          if (std::find(end_tags.begin(), end_tags.end(), Current().text) != end_tags.end()) {
            return body;
          }
          body.push_back(ParseStatement());
          Expect(TokenKind::kBlockEnd, "end of statement block");
      }
    }
  }

  // The body of a tag: its end, statements, and the name of the tag that ends it (left current).
  Body ParseTagBody(EndTags end_tags) {
    SkipOperator(":");
    Expect(TokenKind::kBlockEnd, "end of statement block");
    return ParseBody(end_tags);
  }

  Body ParseTagBodyTo(std::string_view end_tag) {
    Body body = ParseTagBody({end_tag});
    Advance();
    return body;
  }

  StmtPtr ParseStatement() {
    struct Tag {
      std::string_view name;
      Rule rule;
    };
    static constexpr std::array<Tag, 12> kTags = {
        {{"set", &StatementParser::ParseSet},
         {"if", &StatementParser::ParseIf},
         {"for", &StatementParser::ParseFor},
         {"macro", &StatementParser::ParseMacro},
         {"call", &StatementParser::ParseCallBlock},
         {"filter", &StatementParser::ParseFilterBlock},
         {"with", &StatementParser::ParseWith},
         {"print", &StatementParser::ParsePrint},
         {"break", &StatementParser::ParseBreak},
         {"continue", &StatementParser::ParseContinue},
         {"generation", &StatementParser::ParseGeneration}}};
    const std::string name = Current().text;
    const int line = Current().line;
    for (const Tag& tag : kTags) {
      if (tag.rule == nullptr || tag.name != name) continue;
      Advance();
      return (this->*tag.rule)(line);
    }
    for (const char* left_out : {"include", "import", "from", "extends", "block", "autoescape"}) {
      if (name == left_out) {
        Throw(ErrorCode::kUnsupported,
              "{}:{}: the tag '{}' is not supported: a chat template is one "
              "file without auto-escaping",
              origin_, line, name);
      }
    }
    FailHere(fmt::format("encountered unknown tag {}", Shown(name)));
  }

  StmtPtr ParseSet(int line) {
    auto stmt = Make(StmtKind::kSet, line);
    stmt->target = ParseTarget(true);
    if (SkipOperator("=")) {
      stmt->expr = ParseTuple();
      return stmt;
    }
    stmt->kind = StmtKind::kSetBlock;
    if (IsOperator("|")) stmt->expr = ParseFilters(nullptr, false);
    stmt->body = ParseTagBodyTo("endset");
    return stmt;
  }

  StmtPtr ParseIf(int line) {
    auto stmt = Make(StmtKind::kIf, line);
    ++branch_depth_;
    bool has_next = true;
    while (has_next) {
      Branch branch;
      branch.condition = ParseTuple(false);
      branch.body = ParseTagBody({"elif", "else", "endif"});
      stmt->branches.push_back(std::move(branch));
      has_next = IsName("elif");
      if (SkipName("else")) {
        Branch last;
        last.body = ParseTagBody({"endif"});
        stmt->branches.push_back(std::move(last));
      }
      Advance();  // elif or endif
    }
    --branch_depth_;
    return stmt;
  }

  // Runs `parse` as inside a function or loop body: what is around it does not reach in.
  template <typename Parse>
  auto Inside(int num_loops, Parse parse) {
    const int outer_branch_depth = std::exchange(branch_depth_, 0);
    const int outer_num_loops = std::exchange(num_loops_, num_loops);
    auto result = parse();
    branch_depth_ = outer_branch_depth;
    num_loops_ = outer_num_loops;
    return result;
  }

  StmtPtr ParseFor(int line) {
    auto stmt = Make(StmtKind::kFor, line);
    stmt->target = ParseTarget(false);
    if (ContainsName(stmt->target, kLoopName)) FailHere("can't assign to 'loop' in a for loop");
    if (!SkipName("in")) FailUnexpected("'in'");
    stmt->expr = ParseTuple(false);
    if (SkipName("if")) stmt->condition = ParseExpression();
    stmt->is_recursive = SkipName("recursive");
    stmt->body = Inside(num_loops_ + 1, [&] { return ParseTagBody({"endfor", "else"}); });
    if (SkipName("else")) {
      stmt->else_body = Inside(num_loops_, [&] { return ParseTagBody({"endfor"}); });
    }
    Advance();
    return stmt;
  }

  static bool ContainsName(const Target& target, int name_id) {
    return target.name_id == name_id ||
           std::any_of(target.items.begin(), target.items.end(),
                       [&](const Target& item) { return ContainsName(item, name_id); });
  }

  // A macro and a parameter have one name, not a tuple of them.
  Target ParseNewName() {
    if (IsOperator("(")) FailUnexpected("a name");
    return ParseTargetItem(false);
  }

  void ParseSignature(Macro& macro) {
    ExpectOperator("(");
    std::unordered_set<int> ids;
    while (!IsOperator(")")) {
      if (!macro.parameters.empty()) ExpectOperator(",");
      const Target parameter = ParseNewName();
      const std::string name = program_.names[static_cast<size_t>(parameter.name_id)];
      if (!ids.insert(parameter.name_id).second) {
        FailHere(fmt::format("parameter {} is repeated", Shown(name)));
      }
      if (SkipOperator("=")) {
        macro.defaults.push_back(ParseExpression());
      } else if (!macro.defaults.empty()) {
        FailHere("non-default argument follows default argument");
      }
      macro.parameters.emplace_back(parameter.name_id, name);
    }
    ExpectOperator(")");
  }

  Body ParseMacroBody(Macro& macro, std::string_view end_tag) {
    macros_.push_back(&macro);
    Body body = Inside(0, [&] { return ParseTagBodyTo(end_tag); });
    macros_.pop_back();
    return body;
  }

  StmtPtr ParseMacro(int line) {
    auto stmt = Make(StmtKind::kMacro, line);
    auto macro = std::make_unique<Macro>();
    stmt->target = ParseNewName();
    macro->name = program_.names[static_cast<size_t>(stmt->target.name_id)];
    ParseSignature(*macro);
    macro->body = ParseMacroBody(*macro, "endmacro");
    stmt->macro = std::move(macro);
    return stmt;
  }

  StmtPtr ParseCallBlock(int line) {
    auto stmt = Make(StmtKind::kCallBlock, line);
    auto macro = std::make_unique<Macro>();
    if (IsOperator("(")) ParseSignature(*macro);
    stmt->expr = ParseExpression();
    if (stmt->expr->kind != ExprKind::kCall) FailHere("expected a call in a call block");
    macro->body = ParseMacroBody(*macro, "endcall");
    stmt->macro = std::move(macro);
    return stmt;
  }

  StmtPtr ParseFilterBlock(int line) {
    auto stmt = Make(StmtKind::kFilterBlock, line);
    stmt->expr = ParseFilters(nullptr, true);
    stmt->body = ParseTagBodyTo("endfilter");
    return stmt;
  }

  StmtPtr ParseWith(int line) {
    auto stmt = Make(StmtKind::kWith, line);
    while (Current().kind != TokenKind::kBlockEnd) {
      if (!stmt->targets.empty()) ExpectOperator(",");
      stmt->targets.push_back(ParseTarget(false));
      ExpectOperator("=");
      stmt->values.push_back(ParseExpression());
    }
    stmt->body = ParseTagBodyTo("endwith");
    return stmt;
  }

  StmtPtr ParsePrint(int line) {
    auto stmt = Make(StmtKind::kScope, line);  // each expression is printed by itself
    while (Current().kind != TokenKind::kBlockEnd) {
      if (!stmt->body.empty()) ExpectOperator(",");
      auto output = Make(StmtKind::kOutput, Current().line);
      output->expr = ParseExpression();
      stmt->body.push_back(std::move(output));
    }
    return stmt;
  }

  StmtPtr ParseBreak(int line) { return ParseJump(StmtKind::kBreak, line); }
  StmtPtr ParseContinue(int line) { return ParseJump(StmtKind::kContinue, line); }
  StmtPtr ParseJump(StmtKind kind, int line) {
    if (num_loops_ == 0) FailHere("'break' or 'continue' outside of a loop");
    return Make(kind, line);
  }

  StmtPtr ParseGeneration(int line) {
    auto stmt = Make(StmtKind::kScope, line);
    stmt->body = Inside(0, [&] { return ParseTagBodyTo("endgeneration"); });
    return stmt;
  }

  int num_loops_ = 0;  // around the current place, within the same macro
};

}  // namespace

std::shared_ptr<const Program> ParseProgram(std::string_view source, std::string_view origin,
                                            const TemplateOptions& options) {
  if (source.size() > kTemplateSourceBytesMax) {
    Throw(ErrorCode::kExhausted, "{}: a template of {} bytes is longer than the {} allowed", origin,
          source.size(), kTemplateSourceBytesMax);
  }
  if (!IsValidUtf8(source)) Throw(ErrorCode::kInvalid, "{}: the template is not UTF-8", origin);
  return StatementParser(Tokenize(source, origin, options), origin).Run();
}

}  // namespace retort::jinja
