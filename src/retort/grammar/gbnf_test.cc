#include <gmock/gmock.h>

#include "retort/base/error.h"
#include "retort/grammar/mask_check.h"

namespace retort::grammar {
namespace {

using testing::HasSubstr;

std::shared_ptr<const Constraint> Gbnf(const std::string& text) {
  static const auto vocabulary = SmallVocabulary();
  return std::make_shared<const Constraint>(CompileGbnf(text), vocabulary);
}

TEST(CompileGbnf, ReadsRules) {
  const auto constraint = Gbnf(R"(# a comment
root ::= greeting ("," " "? name){1,2} end |
         "bye"
greeting ::= "hi" | "hello"
  | "h\x65y"
name ::= [a-z]+ [^a-z,!]?   # one more
end ::= "!"*)");
  for (const char* text : {"hi,a!", "hello, bob, al9!!", "hey,x", "bye"})
    EXPECT_TRUE(Accepts(*constraint, text)) << text;
  for (const char* text : {"hi", "hi,a,b,c", "byebye", "hi,!"})
    EXPECT_FALSE(Accepts(*constraint, text)) << text;
}

TEST(CompileGbnf, TakesLeftRecursionAmbiguityAndNesting) {
  const auto sum = Gbnf("root ::= root \"+\" root | \"(\" root \")\" | [0-9]");
  for (const char* text : {"1", "1+2+3+4", "(1+2)+((3))"}) EXPECT_TRUE(Accepts(*sum, text)) << text;
  for (const char* text : {"", "+1", "(1", "1+", "1)"}) EXPECT_FALSE(Accepts(*sum, text)) << text;
  const auto empty = Gbnf("root ::= a a \"x\"\na ::= b | \"\"\nb ::= a \"y\" | \"\"");
  for (const char* text : {"x", "yx", "yyyyx"}) EXPECT_TRUE(Accepts(*empty, text)) << text;
  EXPECT_FALSE(Accepts(*empty, "y"));
  const auto nested = Gbnf("root ::= (\"[\" root{0,3} \"]\")");
  EXPECT_TRUE(Accepts(*nested, "[[][[]][]]"));
  EXPECT_FALSE(Accepts(*nested, "[[][][][]]"));
}

TEST(CompileGbnf, AnAlternativeMayBeEmpty) {
  struct Case {
    const char* grammar;
    std::vector<const char*> yes;
    std::vector<const char*> no;
  };
  const Case cases[] = {
      {"root ::= \"x\" ( | \"a\") \"y\"", {"xy", "xay"}, {"x"}},
      {"root ::= \"x\" (\"a\" | ) \"y\"", {"xy", "xay"}, {"x"}},
      {"root ::= \"x\" (\"a\" | | \"b\") \"y\"", {"xy", "xay", "xby"}, {"xaby"}},
      {"root ::= \"x\" () \"y\"", {"xy"}, {"x"}},
      {"root ::= | \"a\"", {"", "a"}, {"aa"}},
      {"root ::= \"a\" |", {"", "a"}, {"aa"}},
      {"root ::= a \"x\"\na ::= \"a\" |\nb ::= \"b\"", {"x", "ax"}, {"bx"}},
      {"root ::= a \"x\"\na ::= \"a\" |\n  b\nb ::= \"b\"", {"ax", "bx"}, {"x"}},
      {"root ::= a \"x\"\na ::= |\n# no more\nb ::= \"b\"", {"x"}, {"bx"}},
      {"root ::= \"a\" | | \"b\"", {"", "a", "b"}, {"ab"}},
  };
  for (const Case& c : cases) {
    const auto constraint = Gbnf(c.grammar);
    for (const char* text : c.yes) EXPECT_TRUE(Accepts(*constraint, text)) << c.grammar << text;
    for (const char* text : c.no) EXPECT_FALSE(Accepts(*constraint, text)) << c.grammar << text;
  }
}

TEST(CompileGbnf, MasksEqualBruteForce) {
  for (const char* text :
       {"root ::= root \"+\" root | \"(\" root \")\" | [0-9]", "root ::= \"a\" root \"b\" | \"\"",
        "root ::= ws \"{\" ws (pair (\",\" ws pair)*)? \"}\"\npair ::= \"\\\"\" [a-z]* \"\\\":\" "
        "val\nval ::= root | [0-9]+\nws ::= \" \" ws | \"\"",
        "root ::= a a \"x\"\na ::= b | \"\"\nb ::= a \"y\" | \"\""}) {
    SCOPED_TRACE(text);
    CheckMasks(*Gbnf(text), 3, 4, 10);
  }
}

TEST(CompileGbnf, NeverBeginsWhatCannotEnd) {
  const auto constraint = Gbnf("root ::= \"a\" | \"b\" loop\nloop ::= \"c\" loop");
  EXPECT_FALSE(constraint->Start().Allows('b'));
  EXPECT_TRUE(constraint->Start().Allows('a'));
}

TEST(CompileGbnf, SaysWhereItIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"root ::= \"a", "1:12: a string has no closing quote"},
      {"root ::= x", "1:10: no rule is named 'x'"},
      {"a ::= \"x\"", "no rule is named 'root'"},
      {"root ::= \"a\"\nroot ::= \"b\"", "2:1: rule 'root' is defined twice"},
      {"root ::= (\"a\"", "')' expected"},
      {"root ::= \"a\"{3,2}", "minimum exceeds"},
      {"root ::= root", "no text at all"},
      {"root := \"a\"", "'::=' expected"},
      {"root ::= <think>", "not supported"},
      {"root ::= [z-a]", "out of order"},
  };
  for (const auto& [text, why] : cases) {
    try {
      CompileGbnf(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_THAT(error.message(), HasSubstr(why)) << text;
    }
  }
}

TEST(CompileGbnf, ReadsThePublicSamples) {
  const auto folder = SharedData() / "grammars/llama.cpp-gbnf";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "../shared/data/grammars is absent";
  int num_samples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".gbnf") continue;
    SCOPED_TRACE(entry.path().string());
    const auto constraint = Gbnf(ReadFile(entry.path(), 1u << 20));
    CheckMasks(*constraint, 5, 1, 6);
    ++num_samples;
  }
  EXPECT_GT(num_samples, 0);
}

}  // namespace
}  // namespace retort::grammar
