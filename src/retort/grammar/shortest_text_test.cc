#include "retort/grammar/shortest_text.h"

#include <gmock/gmock.h>

#include "retort/base/error.h"
#include "retort/grammar/mask_check.h"
#include "retort/grammar/text_check.h"

namespace retort::grammar {
namespace {

using testing::HasSubstr;

// The text that completes `begun`; it is judged by reading the whole.
std::string ClosingOf(const std::shared_ptr<const Grammar>& grammar, const std::string& begun) {
  static const auto vocabulary = SmallVocabulary();
  const Constraint constraint(grammar, vocabulary);
  ConstraintState state = constraint.Start();
  for (const int32_t token : vocabulary->LongestTokens(begun)) {
    if (!state.Commit(token)) return "not begun: " + begun;
  }
  const auto text = state.ClosingText();
  if (!text) return "none";
  EXPECT_TRUE(CheckText(*grammar, begun + *text).accepted) << begun << "|" << text->substr(0, 200);
  EXPECT_EQ(state.ClosingText(), text) << "asked again";
  return *text;
}

struct LengthCase {
  const char* schema;
  const char* begun;
  size_t bytes;
};

TEST(ShortestText, IsAsLongAsTheBoundAsks) {
  const LengthCase cases[] = {
      {R"({"type":"string","minLength":299})", "", 301},
      {R"({"type":"string","minLength":300})", "", 302},
      {R"({"type":"string","minLength":300})", "\"abc", 298},
      {R"({"type":"string","minLength":301})", "", 303},
      {R"({"type":"string","minLength":15000})", "", 15002},
      {R"({"type":"object","properties":{"essay":{"type":"string","minLength":300}},)"
       R"("required":["essay"]})",
       "{", 311},
      {R"({"type":"string","pattern":"^[0-9]{2000}$"})", "\"12", 1999},
      {R"({"type":"string","pattern":"^([a-z]+ ){400,}end$"})", "", 805},
      {R"({"type":"string","pattern":"^\\u{1F600}{300}$"})", "", 1202},
      {R"({"type":"string","pattern":"^\u0001{50}$"})", "", 302},
      {R"({"type":"array","minItems":4000,"items":{"type":"integer"}})", "[1,2", 7997},
      {R"({"type":"array","minItems":30,"items":{"type":"array","minItems":30,)"
       R"("items":{"type":"string","minLength":3}}})",
       "", 30 * (30 * 6 + 1) + 31},
      {R"({"type":"array","contains":{"type":"string","minLength":9},"minContains":7})", "", 85},
      {R"({"type":"integer","minimum":1000001,"maximum":1000009})", "", 7},
      {R"({"minLength":300,"type":["string","null"]})", "", 4},
      {R"({"anyOf":[{"type":"array","minItems":50},{"type":"string","minLength":60}]})", "", 62},
      {R"({"anyOf":[{"type":"array","minItems":50},{"type":"string","minLength":60}]})", "[", 100},
  };
  for (const LengthCase& c : cases) {
    EXPECT_EQ(ClosingOf(CompileJsonSchema(c.schema), c.begun).size(), c.bytes) << c.schema;
  }
}

TEST(ShortestText, OfRegularExpressionsAndGrammars) {
  EXPECT_EQ(ClosingOf(CompileRegex("[a-z]{5000}x"), "ab").size(), 4999u);
  EXPECT_EQ(ClosingOf(CompileRegex("((ab{20}){20}c){10}"), "").size(), 4210u);
  EXPECT_EQ(ClosingOf(CompileRegex("x{700}|y{699}z{2}"), "").size(), 700u);
  EXPECT_EQ(ClosingOf(CompileRegex("x{700}|y{699}z{2}"), "y").size(), 700u);
  EXPECT_EQ(ClosingOf(CompileRegex("(?s)a.{300}b"), "").size(), 302u);
  EXPECT_EQ(ClosingOf(CompileGbnf("root ::= \"(\" root \")\" | [a-c]{600}"), "((").size(), 602u);
  EXPECT_EQ(ClosingOf(CompileLark("start: a~300\na: \"x\" | \"yy\" a"), "yy").size(), 300u);
}

// Where several things are owed, none is passed by.
TEST(ShortestText, OfObjects) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"integer"}},)"
       R"("required":["b"],"minProperties":2,"additionalProperties":false})",
       R"({"a":null,"b":0})"},
      {R"({"type":"object","minProperties":3,"additionalProperties":{"type":"integer"}})",
       R"({"":0,"a":0,"!":0})"},
      {R"({"type":"object","required":["abc"],"minProperties":2,)"
       R"("additionalProperties":{"type":"integer"},"properties":{"abc":{"type":"null"}}})",
       R"({"abc":null,"":0})"},
      {R"({"type":"object","propertyNames":{"minLength":3},"minProperties":2,)"
       R"("additionalProperties":{"const":true}})",
       R"({"aaa":true,"aa!":true})"},
      {R"({"type":"object","not":{"patternProperties":{"^longer":{"type":"integer"}}},)"
       R"("additionalProperties":{"type":["integer","null"]}})",
       R"({"longer":null})"},
  };
  for (const auto& [schema, text] : cases) {
    EXPECT_EQ(ClosingOf(CompileJsonSchema(schema), "").size(), std::string_view(text).size())
        << schema << " " << ClosingOf(CompileJsonSchema(schema), "");
  }
  // Keys that came before do not come again.
  const auto open = CompileJsonSchema(cases[1].first);
  EXPECT_EQ(ClosingOf(open, R"({"":1,"a":)").size(), std::string_view(R"(0,"!":0})").size());
  EXPECT_EQ(ClosingOf(open, R"({"a":1,"b":2,"a)").size(), std::string_view(R"(a":0})").size());
}

TEST(ShortestText, OfItemsThatMustDiffer) {
  const std::pair<const char*, size_t> cases[] = {
      {R"({"type":"array","uniqueItems":true,"minItems":3,"items":{"enum":[5,60,7]}})", 8},
      {R"({"type":"array","uniqueItems":true,"minItems":12,"items":{"type":"integer"}})", 29},
      {R"({"type":"array","uniqueItems":true,"minItems":3,"items":{"type":"string"}})", 12},
  };
  for (const auto& [schema, bytes] : cases) {
    const std::string text = ClosingOf(CompileJsonSchema(schema), "");
    EXPECT_LE(text.size(), bytes) << schema << " " << text;
  }
}

// Equally short texts: the same one, whatever was asked before.
TEST(ShortestText, DependsOnTheStateAlone) {
  const auto grammar = CompileRegex("([abc]{40}|[xyz]{40}|[a-z]{20}[0-9]{20})!?end");
  static const auto vocabulary = SmallVocabulary();
  const auto text_after = [&](const Constraint& constraint, const std::string& begun) {
    ConstraintState state = constraint.Start();
    for (const int32_t token : vocabulary->LongestTokens(begun)) EXPECT_TRUE(state.Commit(token));
    return state.ClosingText().value_or("none");
  };
  const std::string begun[] = {"", "a", "ab", "x", "xx", "q", "ccc", "zq"};
  const Constraint forwards(grammar, vocabulary);
  const Constraint backwards(grammar, vocabulary);
  std::vector<std::string> texts;
  for (const std::string& one : begun) texts.push_back(text_after(forwards, one));
  for (size_t i = std::size(begun); i-- > 0;) {
    EXPECT_EQ(text_after(backwards, begun[i]), texts[i]) << begun[i];
    EXPECT_EQ(text_after(Constraint(grammar, vocabulary), begun[i]), texts[i]) << begun[i];
  }
}

TEST(ShortestText, SaysThatItIsTooLong) {
  const Constraint constraint(CompileRegex("([a-z]{2000} ){2000}"), SmallVocabulary());
  try {
    constraint.Start().ClosingText();
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kExhausted);
  }
}

}  // namespace
}  // namespace retort::grammar
