#include "retort/grammar/text_check.h"

#include <gmock/gmock.h>

#include "retort/base/error.h"
#include "retort/grammar/mask_check.h"

namespace retort::grammar {
namespace {

using testing::HasSubstr;

TEST(CheckText, SaysHowFarATextIsAndWhatMayFollow) {
  const auto grammar = CompileJsonSchema(
      R"({"type":"object","properties":{"a":{"type":"boolean"}},"required":["a"]})");
  EXPECT_TRUE(CheckText(*grammar, R"({"a": true})").accepted);
  TextVerdict verdict = CheckText(*grammar, R"({"a": yes})");
  EXPECT_FALSE(verdict.accepted);
  EXPECT_EQ(verdict.num_read, 6u);
  EXPECT_EQ(verdict.expected, "a space, 'f' or 't'");
  verdict = CheckText(*grammar, R"({"a":true)");
  EXPECT_EQ(verdict.num_read, 9u);
  EXPECT_THAT(verdict.expected, HasSubstr("'}'"));
  verdict = CheckText(*grammar, R"({"a":true}x)");
  EXPECT_EQ(verdict.num_read, 10u);
  EXPECT_EQ(verdict.expected, "the end");
  verdict = CheckText(*CompileRegex("[a-z\\u{E9}]+"), "ab1");
  EXPECT_EQ(verdict.expected, "'a' to 'z', a character beyond ASCII or the end");
}

TEST(CheckText, ReadsEverySpellingWhereMasksOfferThePlainOne) {
  const auto grammar =
      CompileJsonSchema(R"({"type":"object","properties":{"a/b":{"const":"x\"\\\n\u0001\u00e9"}},)"
                        R"("required":["a/b"],"additionalProperties":false})");
  const Constraint constraint(grammar, SmallVocabulary());
  for (const char* text : {R"({"a/b":"x\"\\\n\u0001é"})", R"({"a/b":"x\"\\\u000a\u0001\u00E9"})"}) {
    EXPECT_TRUE(CheckText(*grammar, text).accepted) << text;
    EXPECT_TRUE(Accepts(constraint, text)) << text;
  }
  for (const char* text : {R"({"\u0061/b":"x\"\\\n\u0001é"})", R"({"a\/b":"x\"\\\n\u0001é"})",
                           R"({"a/b":"x\u0022\\\n\u0001é"})", R"({"a/b":"x\"\u005c\n\u0001é"})"}) {
    EXPECT_TRUE(CheckText(*grammar, text).accepted) << text;
    EXPECT_FALSE(Accepts(constraint, text)) << text;
  }
}

// Keys that are excluded because they came before need the text of the open token.
TEST(CheckText, KnowsTheKeysThatCameBefore) {
  const auto grammar = CompileJsonSchema(R"({"type":"object"})");
  EXPECT_TRUE(CheckText(*grammar, R"({"a":1,"b":{"a":2}})").accepted);
  EXPECT_EQ(CheckText(*grammar, R"({"ab":1,"ab":2})").num_read, 11u);
}

TEST(SizeOf, TellsWhatAGrammarBecame) {
  const GrammarSize schema = SizeOf(*CompileJsonSchema(R"({"items":{"type":"integer"}})"));
  EXPECT_GE(schema.num_values, 2u);
  EXPECT_EQ(schema.num_rules, 0u);
  EXPECT_GT(schema.bytes, 0u);
  EXPECT_EQ(SizeOf(*CompileGbnf("root ::= \"a\" root? \"b\"")).num_values, 0u);
}

TEST(CompileJsonSchema, ErrorsNameLineAndColumn) {
  const std::pair<const char*, const char*> cases[] = {
      {"{\n \"items\": {\"pattern\": \"(?=x)\"}}", "schema:2:12: /items: 'pattern'"},
      {"{\n \"anyOf\": [{},\n  {\"type\": \"strin\"}]}", "schema:3:4: /anyOf/1: 'type'"},
      {"{\"a\\\"b\": 1,\n\"a\\\"b\": 2}", "schema:2:1: key 'a\"b' is repeated"},
      {"{\n \"type\": }", "schema:2:10: not JSON"},
      {"", "schema:1:1: not JSON"},
      {"{\"$ref\": \"#/x\"}", "schema:1:2: (root): '$ref': '#/x' names nothing"},
      {"[1]", "schema:1:1: (root): a schema is"},
  };
  for (const auto& [schema, why] : cases) {
    try {
      CompileJsonSchema(schema);
      ADD_FAILURE() << schema;
    } catch (const Error& error) {
      EXPECT_THAT(error.message(), HasSubstr(why)) << schema;
    }
  }
}

TEST(CompileJsonSchema, ListsWhatDoesNotConstrain) {
  const auto notes = [](const char* schema) {
    std::string all;
    const auto grammar = CompileJsonSchema(schema);
    for (const std::string& note : grammar->report().annotations) {
      all += note + "\n";
    }
    return all;
  };
  EXPECT_EQ(notes(R"({"title":"x","default":1,"$comment":"","minimum":1,"$defs":{"x-y":{}}})"), "");
  EXPECT_EQ(notes(R"({"minLenght":1,"format":"color"})"),
            "(root): format 'color' is defined by no draft: an annotation\n"
            "(root): 'minLenght' is no keyword: an annotation (did you mean 'minLength'?)\n");
  EXPECT_THAT(notes(R"({"$schema":"http://json-schema.org/draft-07/schema#","prefixItems":[{}]})"),
              HasSubstr("no meaning before draft 2020-12"));
  EXPECT_THAT(notes(R"({"dependencies":{}})"), HasSubstr("no meaning after draft 7"));
  EXPECT_THAT(notes(R"({"$schema":"http://json-schema.org/draft-04/schema#",)"
                    R"("definitions":{"a":{}},"items":{"$ref":"#/definitions/a","maximum":3}})"),
              HasSubstr("/items: 'maximum' has no meaning beside '$ref'"));
  EXPECT_THAT(notes(R"({"properties":{"a":{"required":true}}})"), HasSubstr("list since draft 4"));
  EXPECT_THAT(notes(R"({"$schema":"mine"})"), HasSubstr("read as draft 2020-12"));
}

}  // namespace
}  // namespace retort::grammar
