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
      {"{\n \"items\": {\"pattern\": \"(?<=x)\"}}", "schema:2:12: /items: 'pattern'"},
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

TEST(CompileJsonSchema, WarnsOfWhatDoesNotConstrain) {
  const auto notes = [](const char* schema) {
    std::string all;
    const auto grammar = CompileJsonSchema(schema);
    for (const std::string& note : grammar->report().warnings) {
      all += note + "\n";
    }
    return all;
  };
  EXPECT_EQ(notes(R"({"title":"x","default":1,"$comment":"","minimum":1,"$defs":{"x-y":{}}})"), "");
  EXPECT_EQ(notes(R"({"minLenght":1,"format":"color"})"),
            "(root): 'minLenght' is no keyword: it constrains nothing (did you mean 'minLength'?)\n"
            "(root): format 'color' is defined by no draft: it constrains nothing\n");
  EXPECT_THAT(notes(R"({"$schema":"http://json-schema.org/draft-07/schema#","prefixItems":[{}]})"),
              HasSubstr("no meaning before draft 2020-12"));
  EXPECT_THAT(notes(R"({"dependencies":{}})"), HasSubstr("no meaning after draft 7"));
  EXPECT_THAT(notes(R"({"$schema":"http://json-schema.org/draft-04/schema#",)"
                    R"("definitions":{"a":{}},"items":{"$ref":"#/definitions/a","maximum":3}})"),
              HasSubstr("/items: 'maximum' has no meaning beside '$ref'"));
  EXPECT_THAT(notes(R"({"properties":{"a":{"required":true}}})"), HasSubstr("list since draft 4"));
  EXPECT_THAT(notes(R"({"$schema":"mine"})"), HasSubstr("read as draft 2020-12"));
  EXPECT_EQ(notes(R"({"propertys":{"a":{}},"require":["a"]})"),
            "(root): 'propertys' is no keyword: it constrains nothing (did you mean "
            "'properties'?)\n"
            "(root): 'require' is no keyword: it constrains nothing (did you mean 'required'?)\n");
  EXPECT_EQ(notes(R"({"properties":{"a/b":{"items":{"min_length":1}}}})"),
            "/properties/a~1b/items: 'min_length' is no keyword: it constrains nothing (did you "
            "mean 'minLength'?)\n");
  EXPECT_THAT(notes(R"({"format":"datetime"})"), HasSubstr("did you mean 'date-time'?"));
  EXPECT_THAT(notes(R"({"type":"integer","format":"int32"})"), HasSubstr("format 'int32'"));
  EXPECT_THAT(notes(R"({"type":"string","nullable":true})"), HasSubstr("add \"null\" to 'type'"));
  EXPECT_EQ(notes(R"({"title":"t","description":"d","examples":[1],"default":1,"$comment":"c",
                      "deprecated":true,"readOnly":true,"writeOnly":true,"x-order":1,
                      "discriminator":{"propertyName":"a"},"example":1,"externalDocs":{},
                      "$id":"http://a/b","$schema":"https://json-schema.org/draft/2020-12/schema",
                      "contentMediaType":"a/b","markdownDescription":"m","enumNames":["a"]})"),
            "");
}

// A person copies these from an API's documentation.
TEST(CompileJsonSchema, TakesOffTheWrappersOfApis) {
  const std::string schema = R"({"type":"object","properties":{"a":{"$ref":"#/$defs/b"}},)"
                             R"("required":["a"],"additionalProperties":false,)"
                             R"("$defs":{"b":{"type":"integer"}}})";
  const std::string wrappers[] = {
      R"({"name":"r","strict":true,"schema":@})",
      R"({"name":"r","description":"d","strict":null,"schema":@})",
      R"({"type":"json_schema","json_schema":{"name":"r","strict":true,"schema":@}})",
      R"({"type":"json_schema","name":"r","schema":@,"strict":false})",
      R"({"response_format":{"type":"json_schema","json_schema":{"name":"r","schema":@}}})",
      R"({"type":"json_object","schema":@})",
      R"({"type":"function","function":{"name":"f","description":"d","parameters":@}})",
      R"({"type":"function","name":"f","parameters":@,"strict":true})",
      R"({"name":"f","description":"d","input_schema":@})",
      R"({"name":"f","inputSchema":@})",
      R"({"format":"json","schema":@})",
      R"({"guided_json":@})",
      R"({"structured_outputs":{"json":@}})",
  };
  for (std::string text : wrappers) {
    text.replace(text.find('@'), 1, schema);
    const auto grammar = CompileJsonSchema(text);
    EXPECT_TRUE(CheckText(*grammar, R"({"a":1})").accepted) << text;
    for (const char* no : {"true", R"({"a":"x"})", "{}"}) {
      EXPECT_FALSE(CheckText(*grammar, no).accepted) << text;
    }
    EXPECT_THAT(grammar->report().warnings, testing::IsEmpty()) << text;
    EXPECT_EQ(grammar->report().annotations.size(), 1u) << text;
  }
  // Pointers and lines are those of the text as it was given.
  try {
    CompileJsonSchema("{\"name\":\"r\",\n\"schema\":{\"type\":\"strng\"}}");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("schema:2:11: /schema: 'type'"));
  }
  // These are schemas, if strange ones.
  for (const char* text :
       {R"({"name":{"type":"string"},"schema":{"type":"string"}})",
        R"({"schema":{"type":"string"}})", R"({"name":"r","schema":{},"required":["a"]})",
        R"({"name":"r","schema":[1]})", R"({"json":{"type":"string"}})",
        R"({"parameters":{"type":"string"}})"}) {
    const auto grammar = CompileJsonSchema(text);
    EXPECT_TRUE(CheckText(*grammar, "true").accepted) << text;
    EXPECT_THAT(grammar->report().warnings, testing::Not(testing::IsEmpty())) << text;
  }
}

}  // namespace
}  // namespace retort::grammar
