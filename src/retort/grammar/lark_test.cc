#include <gmock/gmock.h>

#include <algorithm>

#include "retort/base/error.h"
#include "retort/grammar/mask_check.h"
#include "retort/grammar/text_check.h"

namespace retort::grammar {
namespace {

using testing::HasSubstr;

bool Takes(const std::string& grammar, std::string_view text) {
  return CheckText(*CompileLark(grammar), text).accepted;
}

const char* const kArithmetic = R"lark(
// Left recursion, two levels.
?start: sum
?sum: product
    | sum "+" product   -> add
    | sum "-" product   -> sub
?product: atom
    | product "*" atom  -> mul
    | product "/" atom  -> div
?atom: NUMBER           -> number
     | "-" atom         -> neg
     | "(" sum ")"
%import common.NUMBER
%import common.WS_INLINE
%ignore WS_INLINE
)lark";

TEST(CompileLark, ReadsRulesTerminalsAndImports) {
  for (const char* text : {"1+2*(3-4)/5", " 1 + 2.5e3 ", "--1", "((1))"}) {
    EXPECT_TRUE(Takes(kArithmetic, text)) << text;
  }
  for (const char* text : {"", "1+", "(1", "1 2", "a", "1\n+2"}) {
    EXPECT_FALSE(Takes(kArithmetic, text)) << text;
  }
}

TEST(CompileLark, TakesAmbiguityAndEmptyRules) {
  const char* const text = "start: start start | \"a\" | \"b\" start? \n";
  EXPECT_TRUE(Takes(text, "abaab"));
  EXPECT_FALSE(Takes(text, ""));
  EXPECT_TRUE(Takes("start: a a\na: b |\nb: a \"x\" |\n", "xxx"));
}

TEST(CompileLark, ReadsEveryKindOfPart) {
  struct Case {
    const char* grammar;
    std::vector<const char*> yes;
    std::vector<const char*> no;
  };
  const Case cases[] = {
      {"start: \"a\"..\"c\" ~ 2..3", {"ab", "ccc"}, {"a", "abcd", "ad"}},
      {"start: \"a\"{2} [\"b\"] (\"c\" | \"d\")+", {"aac", "aabdd"}, {"aab", "ac"}},
      {"start: \"select\"i /[a-z]+/ix?", {"SELECT", "selectABC"}, {"selec"}},
      {"start: A\nA: B~2\nB: \"x\" | \"y\"", {"xy"}, {"x", "xyx"}},
      {"start: /a\\/b/s | \"\\u00e9\\n\"", {"a/b", "\xC3\xA9\n"}, {"a\\/b"}},
      {"start: WORD\nWORD: /[a-z]+/ & ~\"end\" & /.{2,4}/", {"ab", "ends"}, {"end", "a", "abcde"}},
      {"start: %json {\"type\": \"integer\", \"minimum\": 3} \"!\"", {"3!", "40!"}, {"2!", "3"}},
      {"start: %regex {\"substring_words\": \"the quick fox\"}",
       {"", "the", "quick fox", " quick"},
       {"he", "the fox"}},
      {"start: %regex {\"substring_chunks\": [\"ab\", \"cd\"]}", {"abcd", "cd"}, {"bc"}},
      {"start: a\na.2: B\nB.-1: \"x\"", {"x"}, {}},
      {"start[capture=\"n\"]: \"x\" # comment\n", {"x"}, {}},
      {"start:\n  | \"x\"\n  | \"y\"\n", {"", "x", "y"}, {"xy"}},
      {"start: \"x\" C*\n%ignore /\\s+/\n%import common (CNAME)\nC: CNAME\n",
       {"x a b", "  xab\n"},
       {"a"}},
  };
  for (const Case& c : cases) {
    for (const char* text : c.yes) EXPECT_TRUE(Takes(c.grammar, text)) << c.grammar << " " << text;
    for (const char* text : c.no) EXPECT_FALSE(Takes(c.grammar, text)) << c.grammar << " " << text;
  }
}

TEST(CompileLark, JsonInsideKeepsItsOwnMeaning) {
  const char* const grammar = R"(
start: "<call>" call "</call>" (";" call)*
call: %json {"type": "object", "properties": {"name": {"enum": ["f", "g"]}, "n": {"type": "array",
  "items": {"type": "integer", "maximum": 9}, "uniqueItems": true}}, "required": ["name"]}
)";
  EXPECT_TRUE(Takes(grammar, R"(<call>{"name": "f", "n": [1, 2]}</call>;{"name":"g"})"));
  EXPECT_FALSE(Takes(grammar, R"(<call>{"name": "f", "n": [1, 1]}</call>)"));
  EXPECT_FALSE(Takes(grammar, R"(<call>{"name": "h"}</call>)"));
  JsonSchemaOptions any;
  any.property_order = JsonSchemaOptions::PropertyOrder::kAny;
  EXPECT_TRUE(
      CheckText(*CompileLark(grammar, any), R"(<call>{"n": [1], "name": "f"}</call>)").accepted);
}

TEST(CompileLark, MasksEqualBruteForce) {
  static const auto vocabulary = SmallVocabulary();
  for (const char* text :
       {kArithmetic, "start: \"[\" (start (\",\" start)*)? \"]\" | %json {\"type\": \"string\"}",
        "start: pair*\npair: %json {\"maxProperties\": 2, \"type\": \"object\"} | /[a-b]+/ \"\\n\"",
        "start: start start | \"a\" | %regex {\"substring_chars\": \"abcabd\"} \".\""}) {
    SCOPED_TRACE(text);
    CheckMasks(Constraint(CompileLark(text), vocabulary), 11, 4, 10);
  }
}

TEST(CompileLark, SaysWhereItIsWrongOrWhatItDoesNotDo) {
  const std::pair<const char*, const char*> cases[] = {
      {"start: x", "1:8: no rule is named 'x'"},
      {"a: \"x\"", "no rule is named 'start'"},
      {"start: \"x\"\nstart: \"y\"", "2:1: rule 'start' is defined twice"},
      {"start: \"x", "no closing quote"},
      {"start: (\"x\"", "')' expected"},
      {"start: /a(?=b)/", "1:8: regular expression at character"},
      {"start: /(/", "1:8: regular expression at character"},
      {"start: A\nA: \"x\" A", "2:1: terminal 'A' is no regular language"},
      {"start: A\nA: start", "a terminal cannot use the rule 'start'"},
      {"start: a{b}", "templates"},
      {"start: <|end|>", "special tokens"},
      {"start: @other", "@name"},
      {"%import python.NAME\nstart: NAME", "only 'common'"},
      {"%import common.NOPE\nstart: NOPE", "common.NOPE"},
      {"%declare A\nstart: A", "directive"},
      {"start: %json {\"type\": \"strin\"}", "1:8: %json: schema:1:2: (root): 'type'"},
      {"start: %json {", "has no '}'"},
      {"start: %regex {\"pattern\": \"x\"}", "substring_words"},
      {"start[lazy]: /x+/", "attribute 'lazy'"},
      {"start: \"b\"..\"a\"", "two characters in order"},
      {"start: \"x\" ~ 3..2", "minimum exceeds"},
      {"start: start \"x\"", "no text at all"},
      {"start: \"x\" )", "the end of the line expected"},
  };
  for (const auto& [text, why] : cases) {
    try {
      CompileLark(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_THAT(error.message(), HasSubstr(why)) << text;
    }
  }
}

TEST(CompileLark, ReportsWhatItLeavesOut) {
  const auto grammar =
      CompileLark("start: | b c\nb.3[capture]: \"x\"\nc: %json {\"typo\": 1, \"x-y\": 1}");
  ASSERT_EQ(grammar->report().annotations.size(), 3u);
  EXPECT_THAT(grammar->report().annotations[0], HasSubstr("empty alternative"));
  EXPECT_THAT(grammar->report().annotations[1], HasSubstr("priority of 'b'"));
  EXPECT_THAT(grammar->report().warnings,
              testing::ElementsAre(HasSubstr("%json: (root): 'typo' is no keyword")));
}

// As Lark reads them: what is not there is the empty text.
TEST(CompileLark, AnAlternativeMayBeEmpty) {
  struct Case {
    const char* grammar;
    std::vector<const char*> yes;
    std::vector<const char*> no;
  };
  const Case cases[] = {
      {"start: \"x\" ( | \"a\") \"y\"", {"xy", "xay"}, {"x", "xaay"}},
      {"start: \"x\" (\"a\" | ) \"y\"", {"xy", "xay"}, {"x"}},
      {"start: \"x\" (\"a\" | | \"b\") \"y\"", {"xy", "xay", "xby"}, {"xaby"}},
      {"start: \"x\" (\n | \"a\"\n | \"b\") \"y\"", {"xy", "xay", "xby"}, {"x"}},
      {"start: \"x\" [ | \"a\"] \"y\"", {"xy", "xay"}, {"x"}},
      {"start: \"x\" () \"y\"", {"xy"}, {"x"}},
      {"start: | \"a\"", {"", "a"}, {"aa"}},
      {"start: \"a\" |", {"", "a"}, {"aa"}},
      {"start: \"a\" |\nb: \"x\"", {"", "a"}, {"x"}},
      {"start: \"a\" | | \"b\"", {"", "a", "b"}, {"ab"}},
      {"start:\n | \"a\"", {"", "a"}, {"aa"}},
      {"start:\n", {""}, {"a"}},
      {"start: a \"x\"\na: | \"(\" a \")\"", {"x", "()x", "(())x"}, {"(x"}},
      {"start: A \"x\"\nA: \"b\" ( | \"c\")", {"bx", "bcx"}, {"x"}},
      {"start: A \"x\"\nA: | \"c\"", {"x", "cx"}, {"ccx"}},
      {"start: (\"a\" | )~2 \"x\"", {"x", "ax", "aax"}, {"aaax"}},
      {"start: \"x\" ( | \"a\") \"y\"\n%ignore \" \"", {"x y", " xay "}, {"x"}},
  };
  for (const Case& c : cases) {
    for (const char* text : c.yes) EXPECT_TRUE(Takes(c.grammar, text)) << c.grammar << " " << text;
    for (const char* text : c.no) EXPECT_FALSE(Takes(c.grammar, text)) << c.grammar << " " << text;
  }
}

const char* const kJson = R"(
start: value
value: object | array | STRING | NUMBER | "true" | "false" | "null"
object: "{" [members] "}"
members: pair | members "," pair
pair: STRING ":" value
array: "[" [elements] "]"
elements: value | elements "," value
STRING: "\"" (/[^"\\\x00-\x1F]/ | "\\" (/["\\\/bfnrt]/ | "u" /[0-9a-fA-F]{4}/))* "\""
NUMBER: "-"? ("0" | /[1-9][0-9]*/) ("." /[0-9]+/)? (/[eE][+-]?[0-9]+/)?
%ignore /[ \t\r\n]+/
)";

// The public suite of JSON parsing: what must parse is derived, what must not is not.
TEST(CompileLark, AJsonGrammarPassesTheJsonSuite) {
  const auto folder = SharedData() / "json-test-suite/test_parsing";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "../shared/data/json-test-suite is absent";
  const auto grammar = CompileLark(kJson);
  int num_judged = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("i_")) continue;
    const std::string text = ReadFile(entry.path(), 1u << 20);
    EXPECT_EQ(CheckText(*grammar, text).accepted, name.starts_with("y_")) << name;
    ++num_judged;
  }
  EXPECT_GT(num_judged, 250);
}

// A schema that says nothing is JSON, but for whitespace (bounded, and none around the whole, which
// one number of the suite has), and keys that repeat.
TEST(CompileJsonSchema, AnyValueIsStrictJson) {
  const auto folder = SharedData() / "json-test-suite/test_parsing";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "../shared/data/json-test-suite is absent";
  const auto grammar = CompileJsonSchema("{}");
  std::vector<std::string> rejected;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("i_")) continue;
    const std::string text = ReadFile(entry.path(), 1u << 20);
    const bool accepted = CheckText(*grammar, text).accepted;
    EXPECT_FALSE(accepted && name.starts_with("n_")) << name;
    if (name.starts_with("y_") && !accepted) rejected.push_back(name);
  }
  std::sort(rejected.begin(), rejected.end());
  EXPECT_THAT(
      rejected,
      testing::Each(testing::ContainsRegex("space|newline|duplicated_key|double_close_to_zero")));
  EXPECT_LE(rejected.size(), 7u);
}

}  // namespace
}  // namespace retort::grammar
