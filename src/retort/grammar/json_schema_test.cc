#include <gmock/gmock.h>

#include "retort/base/error.h"
#include "retort/grammar/mask_check.h"
#include "retort/grammar/text_check.h"

namespace retort::grammar {
namespace {

using testing::HasSubstr;

std::shared_ptr<const Constraint> Schema(const std::string& schema,
                                         const JsonSchemaOptions& options = {}) {
  static const auto vocabulary = SmallVocabulary();
  return std::make_shared<const Constraint>(CompileJsonSchema(schema, options), vocabulary);
}

const char* const kSchemas[] = {
    R"({})",
    R"({"type":"string","maxLength":3})",
    R"({"type":"string","minLength":2,"maxLength":5})",
    R"({"type":"string","pattern":"^a[a-z ]*bc$","maxLength":6})",
    R"({"type":"string","pattern":"^a[a-z1 ]*bc$","maxLength":30})",
    R"({"type":"array","items":{"type":"string","minLength":1,"maxLength":500}})",
    R"({"type":"array","items":{"type":"string","pattern":"^([^ ]+ ){0,3}[^ ]+[.\"]$","minLength":2,"maxLength":7}})",
    R"({"type":"string","pattern":"^a+b"})",
    R"({"type":"string","format":"date"})",
    R"({"type":"integer"})",
    R"({"type":"integer","minimum":-3,"maximum":120})",
    R"({"type":"number","exclusiveMinimum":0.5,"multipleOf":0.25})",
    R"({"enum":["a","b",1,null,{"a":[1]},[]]})",
    R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["b"]})",
    R"({"type":"object","properties":{"a":{"type":"boolean"},"aa":{"type":"null"}},"additionalProperties":false})",
    R"({"type":"object","additionalProperties":{"type":"string"},"maxProperties":2,"minProperties":1})",
    R"({"type":"object","patternProperties":{"^a":{"type":"integer"},"b":{"maximum":3}}})",
    R"({"type":"array","items":{"enum":["a","b","c"]},"uniqueItems":true,"minItems":2})",
    R"({"type":"array","items":{"enum":["","a","ab","abc","b0","\"",":,",7,"name","e+1"]},"uniqueItems":true})",
    R"({"type":"array","items":{"type":"integer"},"contains":{"minimum":5},"minContains":2,"maxContains":2,"maxItems":4})",
    R"({"type":"array","prefixItems":[{"type":"string"},{"type":"integer"}],"items":false})",
    R"({"anyOf":[{"properties":{"a":{"type":"integer"}}},{"properties":{"a":{"type":"string"}}}],"type":"object"})",
    R"({"oneOf":[{"required":["a"]},{"required":["b"]}],"type":"object"})",
    R"({"not":{"properties":{"a":{"type":"integer"}},"required":["a"]},"type":"object"})",
    R"({"if":{"properties":{"a":{"const":1}},"required":["a"]},"then":{"required":["b"]},"type":"object"})",
    R"({"$defs":{"t":{"type":"object","properties":{"a":{"$ref":"#/$defs/t"}},"additionalProperties":false}},"$ref":"#/$defs/t"})",
    R"({"type":"object","properties":{"a":true},"unevaluatedProperties":false,"anyOf":[{"properties":{"b":true}},true]})",
    R"({"type":"object","dependentRequired":{"a":["b"]},"propertyNames":{"maxLength":2}})",
};

TEST(JsonSchema, WholeNumbersWithAFractionAreIntegersSinceDraft6) {
  const auto draft4 = CompileJsonSchema(
      R"({"$schema":"http://json-schema.org/draft-04/schema#","type":["integer","null"]})");
  const auto later = CompileJsonSchema(R"({"type":["integer","null"]})");
  for (const char* text : {"1.0", "1e3", "-0.0"}) {
    EXPECT_FALSE(CheckText(*draft4, text).accepted) << text;
    EXPECT_TRUE(CheckText(*later, text).accepted) << text;
  }
  for (const char* text : {"-10", "0", "null"}) {
    EXPECT_TRUE(CheckText(*draft4, text).accepted) << text;
    EXPECT_TRUE(CheckText(*later, text).accepted) << text;
  }
}

TEST(JsonSchema, ScientificIntegersAreThoseWhoseExponentReachesTheLastDigit) {
  const auto integer = CompileJsonSchema(R"({"type":"integer"})");
  const std::string fractions[] = {"0",   "5",   "50",         "05",
                                   "500", "505", "0000000001", "10",
                                   "010", "000", "123",        std::string(16, '0') + "1"};
  for (const std::string& fraction : fractions) {
    const auto last = fraction.find_last_not_of('0');
    const int least = last == std::string::npos ? 0 : static_cast<int>(last) + 1;
    for (int exponent = -2; exponent < 120; ++exponent) {
      const std::string sign = exponent < 0 ? "-" : exponent % 2 == 0 ? "+" : "";
      const std::string zeros(exponent % 3 == 0 ? 1 : 0, '0');
      const std::string text =
          "7." + fraction + "e" + sign + zeros + std::to_string(std::abs(exponent));
      EXPECT_EQ(CheckText(*integer, text).accepted, exponent >= least) << text;
    }
  }
  for (const char* text : {"7e0", "7E+05", "7e0012", "7.0"}) {
    EXPECT_TRUE(CheckText(*integer, text).accepted) << text;
  }
  for (const char* text : {"7.e1", "7.5", "7.50", "7e-1", "7e00012", "7.123e0002"}) {
    EXPECT_FALSE(CheckText(*integer, text).accepted) << text;
  }
}

// One spelling each, where a model has no reason to write another.
TEST(JsonSchema, WholeAndListedNumbersHaveACanonicalSpelling) {
  struct Case {
    const char* schema;
    std::vector<const char*> yes;
    std::vector<const char*> no;  // of which the whole language has some
  };
  const Case cases[] = {
      {R"({"type":"integer"})",
       {"0", "7", "-12", "100"},
       {"-0", "1.0", "1e2", "1E2", "01", "4.00"}},
      {R"({"enum":[1,2,3]})", {"1", "3"}, {"1.0", "3.00", "2e0", "4"}},
      {R"({"type":"number","enum":[1,2.50]})", {"1", "2.5"}, {"1.0", "2.50", "25e-1"}},
      {R"({"const":1.0})", {"1"}, {"1.0", "1e0"}},
      {R"({"const":-0.0})", {"0"}, {"-0", "0.0"}},
      {R"({"const":1e3})", {"1000"}, {"1e3", "1000.0"}},
      {R"({"const":-1.5e-3})", {"-0.0015"}, {"-1.5e-3", "-0.00150"}},
      {R"({"type":["integer","string"]})", {"1", "\"1.0\""}, {"1.0"}},
      {R"({"type":["integer","null"],"enum":[1,null]})", {"1", "null"}, {"1.0"}},
      {R"({"type":"integer","multipleOf":0.5})", {"1", "2"}, {"1.0", "1.5"}},
      {R"({"type":"number","multipleOf":5})", {"10", "0"}, {"10.0", "1e1", "-0"}},
      {R"({"type":"integer","minimum":1,"maximum":5})", {"1", "5"}, {"5.0", "5e0", "6"}},
      {R"({"anyOf":[{"type":"integer"},{"type":"boolean"}]})", {"3", "true"}, {"3.0"}},
      {R"({"oneOf":[{"type":"integer"},{"type":"integer","minimum":5}]})",
       {"4"},
       {"4.0", "5", "5.0"}},
      {R"({"allOf":[{"type":"integer"},{"enum":[1.0,2]}]})", {"1", "2"}, {"1.0"}},
      {R"({"type":"integer","not":{"const":2}})", {"1", "3"}, {"2", "2.0", "3.0"}},
      {R"({"const":{"a":[1.0]}})", {R"({"a":[1]})"}, {R"({"a":[1.0]})"}},
      {R"({"type":"array","items":{"type":"integer"},"uniqueItems":true})",
       {"[1,2]"},
       {"[1,1]", "[1.0]"}},
      {R"({"$schema":"http://json-schema.org/draft-04/schema#","type":"integer"})",
       {"0"},
       {"-0", "1.0"}},
      // These say nothing about whole numbers: a price may be 4.50.
      {R"({"type":"number"})", {"4.50", "1.0", "1e5", "-0"}, {}},
      {R"({"type":"number","minimum":0})", {"4.50", "1.0", "1e5"}, {}},
      {R"({"not":{"type":"integer"}})", {"1.5", "1.50"}, {"1.0", "1"}},
      {R"({"not":{"const":1},"type":"number"})", {"2.0", "1.50"}, {"1.0", "1e0"}},
  };
  JsonSchemaOptions canonical;
  canonical.numbers = JsonSchemaOptions::Numbers::kCanonical;
  for (const Case& c : cases) {
    const auto grammar = CompileJsonSchema(c.schema, canonical);
    const auto whole = CompileJsonSchema(c.schema);
    EXPECT_NE(grammar->digest(), whole->digest());
    for (const char* text : c.yes) {
      EXPECT_TRUE(CheckText(*grammar, text).accepted) << c.schema << " " << text;
      EXPECT_TRUE(CheckText(*whole, text).accepted) << c.schema << " " << text;
    }
    for (const char* text : c.no) {
      EXPECT_FALSE(CheckText(*grammar, text).accepted) << c.schema << " " << text;
    }
  }
  EXPECT_TRUE(CheckText(*CompileJsonSchema(cases[1].schema), "3.00").accepted);
}

TEST(JsonSchema, ANegatedConstantObjectIsEveryOther) {
  const auto grammar = CompileJsonSchema(R"({"not":{"const":{"a":1}}})");
  for (const char* yes : {"{}", R"({"a":2})", R"({"a":1,"b":0})", R"({"b":1})", "1", "[]"}) {
    EXPECT_TRUE(CheckText(*grammar, yes).accepted) << yes;
  }
  for (const char* no : {R"({"a":1})", R"({"a":1.0})"}) {
    EXPECT_FALSE(CheckText(*grammar, no).accepted) << no;
  }
  const auto two = CompileJsonSchema(R"({"not":{"enum":[{"a":1,"b":2},{}]},"type":"object"})");
  EXPECT_TRUE(CheckText(*two, R"({"a":1,"b":2,"c":3})").accepted);
  EXPECT_TRUE(CheckText(*two, R"({"a":1})").accepted);
  EXPECT_FALSE(CheckText(*two, R"({"a":1,"b":2})").accepted);
  EXPECT_FALSE(CheckText(*two, "{}").accepted);
}

// One token may end a key, whose beginning lies before it, and begin another that is the same.
TEST(CompileJsonSchema, AMaskThatDependsOnTextBeforeIsNotReused) {
  std::vector<std::string> tokens = {
      "{\"", "a", "b", "\":1,\"a\":", "\":1,\"b\":", "1", "}", "<end>"};
  const auto vocabulary = std::make_shared<const Vocabulary>(
      tokens, std::vector<int32_t>{static_cast<int32_t>(tokens.size()) - 1});
  const Constraint constraint(CompileJsonSchema(R"({"type":"object"})"), vocabulary);
  for (const int32_t letter : {1, 2, 1, 2}) {
    ConstraintState state = constraint.Start();
    ASSERT_TRUE(state.Commit(0));
    ASSERT_TRUE(state.Commit(letter));
    std::vector<uint32_t> bits(state.num_mask_words());
    state.Mask(bits);
    EXPECT_EQ(bits[0] >> 3 & 1, letter == 2) << "a key 'a' after '" << tokens[letter] << "'";
    EXPECT_EQ(bits[0] >> 4 & 1, letter == 1) << "a key 'b' after '" << tokens[letter] << "'";
  }
}

TEST(CompileJsonSchema, ContradictionsNameTheirPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"properties":{"a":{"type":"string","enum":[1]}},"required":["a"],"type":"object"})",
       "/properties/a: no value satisfies it: its conditions ('type', 'enum') contradict"},
      {R"({"type":"object","required":["a"],"properties":{"a":{"type":"object","required":["b"],)"
       R"("properties":{"b":{"minimum":5,"maximum":3,"type":"number"}}}}})",
       "/properties/a/properties/b: no value"},
      {R"({"type":"array","minItems":1,"items":{"allOf":[{"type":"null"},{"const":3}]}})",
       "/items: no value satisfies it: its conditions ('allOf')"},
      {R"({"allOf":[{},{"type":"string","minLength":3,"maxLength":2}]})", "/allOf/1: no value"},
      {R"({"$ref":"#/$defs/x","$defs":{"x":{"enum":[]}}})", "/$defs/x: no value"},
      {R"({"type":"object","required":["a"],"properties":{"a":false}})",
       "(root): no value satisfies it: its conditions ('type', 'required', 'properties')"},
      {R"({"type":"object","required":["a"],"properties":{"a":{"$ref":"#"}}})", "no value"},
      {R"({"name":"r","schema":{"type":"integer","minimum":1.2,"maximum":1.8}})",
       "/schema: no value"},
      {"false", "(root): no value satisfies it: its conditions contradict"},
  };
  for (const auto& [schema, why] : cases) {
    try {
      CompileJsonSchema(schema);
      ADD_FAILURE() << schema;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
      EXPECT_THAT(error.message(), HasSubstr(why)) << schema;
    }
  }
}

// Alternatives that differ in their keys, so that many key languages are read at once; they share
// first letters, names with other values, and classes of other keys.
std::string ManyKeyLanguages(int num_alternatives) {
  std::string ways;
  for (int i = 0; i < num_alternatives; ++i) {
    const char own = static_cast<char>('a' + i);
    ways += fmt::format(
        R"({}{{"properties":{{"a{}":{{"const":{}}},"name":{{"enum":["{}",""]}},"b":{}}},"required":["a{}"],{}}})",
        i == 0 ? "" : ",", own, i, own, i % 2 == 0 ? "false" : "true", own,
        i % 3 == 0 ? R"("additionalProperties":false)" : R"("propertyNames":{"maxLength":4})");
  }
  return R"({"type":"object","anyOf":[)" + ways + "]}";
}

TEST(CompileJsonSchema, MasksOfManyKeyLanguagesEqualBruteForce) {
  JsonSchemaOptions options;
  options.property_order = JsonSchemaOptions::PropertyOrder::kAny;
  const auto constraint = Schema(ManyKeyLanguages(14), options);
  CheckMasks(*constraint, 21, 6, 12);
  EXPECT_TRUE(Accepts(*constraint, R"({"ab":1,"name":"b","x":0})"));
  EXPECT_TRUE(Accepts(*constraint, R"({"name":"","ad":3})"));
  EXPECT_FALSE(Accepts(*constraint, R"({"name":"d","ad":3,"x":0})"));
  EXPECT_FALSE(Accepts(*constraint, R"({"name":"b","ad":3})"));
}

TEST(CompileJsonSchema, MasksEqualBruteForceInDeclaredOrder) {
  for (const char* schema : kSchemas) {
    SCOPED_TRACE(schema);
    CheckMasks(*Schema(schema), 7, 3, 12);
  }
}

TEST(CompileJsonSchema, MasksEqualBruteForceInAnyOrder) {
  JsonSchemaOptions options;
  options.property_order = JsonSchemaOptions::PropertyOrder::kAny;
  for (const char* schema : kSchemas) {
    SCOPED_TRACE(schema);
    CheckMasks(*Schema(schema, options), 8, 3, 12);
  }
}

TEST(CompileJsonSchema, NumbersAreCountedByValue) {
  struct Case {
    const char* schema;
    std::vector<const char*> yes;
    std::vector<const char*> no;
  };
  const Case cases[] = {
      {R"({"type":"integer"})",
       {"1", "-0", "1.0", "1e3", "1.5e1", "12345678901234567890123"},
       {"1.5", "1e-1", "01", "1.", "+1", "1.25e1"}},
      {R"({"minimum":1.5,"type":"number"})",
       {"1.5", "1.50", "2", "1.5e0", "1e1", "1.6"},
       {"1.49", "1", "-2", "1.4e0", "1e-1"}},
      {R"({"exclusiveMaximum":0,"type":"number"})",
       {"-1", "-0.001", "-1e-9"},
       {"0", "-0", "-0.0", "1", "1e-9"}},
      {R"({"multipleOf":0.01,"type":"number"})",
       {"4.02", "0.010", "0", "1e3", "1e-2"},
       {"0.075", "1e-3", "4.021"}},
      {R"({"multipleOf":7,"minimum":100,"maximum":110})",
       {"105", "105.0"},
       {"98", "112", "104", "105.5"}},
      {R"({"const":100})", {"100", "100.0", "1e2", "1.0E+02"}, {"10", "1000", "1e3"}},
      {R"({"enum":[-0.5]})", {"-0.5", "-0.50", "-5e-1"}, {"0.5", "-5", "-5e1"}},
      {R"({"not":{"multipleOf":3},"type":"integer"})", {"1", "10"}, {"3", "0", "-9"}},
  };
  for (const Case& c : cases) {
    const auto constraint = Schema(c.schema);
    for (const char* text : c.yes)
      EXPECT_TRUE(Accepts(*constraint, text)) << c.schema << " " << text;
    for (const char* text : c.no)
      EXPECT_FALSE(Accepts(*constraint, text)) << c.schema << " " << text;
  }
}

TEST(CompileJsonSchema, StringsAreCountedByCodePoint) {
  const auto constraint = Schema(R"({"type":"string","minLength":2,"maxLength":2})");
  for (const char* text :
       {R"("ab")", R"("\u00e9b")", "\"\xF0\x9F\x98\x80x\"", R"("\ud83d\ude00\n")", R"("\"\\")"}) {
    EXPECT_TRUE(Accepts(*constraint, text)) << text;
  }
  for (const char* text :
       {R"("a")", R"("abc")", R"("\ud83dx")", R"("\ude00x")", "\"a\tb\"", "\"a\xFF\""}) {
    EXPECT_FALSE(Accepts(*constraint, text)) << text;
  }
}

TEST(CompileJsonSchema, KeysNeverRepeatHoweverTheyAreSpelt) {
  const auto constraint = Schema(R"({"type":"object","properties":{"a":{}}})");
  EXPECT_TRUE(Accepts(*constraint, R"({"a": 1, "b": 2, "c": 3})"));
  EXPECT_FALSE(Accepts(*constraint, R"({"a": 1, "\u0061": 2})"));
  EXPECT_FALSE(Accepts(*constraint, R"({"b": 1, "\u0062": 2})"));
  EXPECT_FALSE(Accepts(*constraint, R"({"b": 1, "c": {"b": 1}, "b": 2})"));
}

TEST(CompileJsonSchema, ItemsOfAListNeverRepeat) {
  const auto constraint = Schema(
      R"({"type":"array","items":{"pattern":"^(|a|a[b-d]|ab.|[x\u00e9]y|\")$","type":"string"},"uniqueItems":true})");
  for (const char* text :
       {R"(["ab", "a", "", "ac", "abb", "ad", "ab\u00e9"])", R"(["xy", "\u00e9y", "\""])"}) {
    EXPECT_TRUE(Accepts(*constraint, text)) << text;
  }
  for (const char* text :
       {R"(["ab", "a", "ab"])", R"(["", "a", ""])", R"(["ab\u00e9", "ab\u00E9"])",
        R"(["\u00e9y", "xy", "\u00e9y"])", R"(["ad", "ae"])", R"(["\"", "\""])"}) {
    EXPECT_FALSE(Accepts(*constraint, text)) << text;
  }
}

// A key that "properties" names is none of the additional ones, where those are asked for too.
TEST(CompileJsonSchema, NegatedAdditionalPropertiesLeaveOutTheNamed) {
  const auto schema =
      Schema(R"({"not": {"additionalProperties": {"type": "number"}, "properties": {"b": true}}})");
  for (const char* text : {R"({"b":false})", R"({"b":false,"c":1})", R"({"c":1})", "{}", "1"}) {
    EXPECT_FALSE(Accepts(*schema, text)) << text;
  }
  for (const char* text : {R"({"c":false})", R"({"b":1,"c":false})", R"({"c":1,"d":null})"}) {
    EXPECT_TRUE(Accepts(*schema, text)) << text;
  }
}

TEST(CompileJsonSchema, WhitespaceIsBounded) {
  const auto constraint = Schema(R"({"type":"array"})");
  EXPECT_TRUE(Accepts(*constraint, "[\n  1,\n  2\n]"));
  EXPECT_TRUE(Accepts(*constraint, "[" + std::string(32, ' ') + "1]"));
  EXPECT_FALSE(Accepts(*constraint, "[" + std::string(33, ' ') + "1]"));
  EXPECT_FALSE(Accepts(*constraint, "[\n\n1]"));
  EXPECT_FALSE(Accepts(*constraint, " [1]"));
}

TEST(JsonSchema, TheOppositeOfACountOrADependency) {
  const auto judge = [](const char* schema, std::initializer_list<const char*> accepted,
                        std::initializer_list<const char*> rejected) {
    const auto constraint = Schema(schema);
    for (const char* text : accepted) EXPECT_TRUE(Accepts(*constraint, text)) << schema << text;
    for (const char* text : rejected) EXPECT_FALSE(Accepts(*constraint, text)) << schema << text;
  };
  judge(R"({"type":"array","items":{"enum":[1,2]},"not":{"contains":{"const":1},"maxContains":2}})",
        {"[]", "[2]", "[1,1,1]", "[1,2,1,1]"}, {"[1]", "[1,1]", "[1,2,1]"});
  judge(R"({"type":"array","items":{"enum":[1,2]},"contains":{"const":1},"minContains":2})",
        {"[1,1]", "[1,2,1]"}, {"[]", "[1]", "[1,2]", "[2,2]"});
  judge(R"({"type":"object","not":{"dependentRequired":{"a":["b"]}}})",
        {R"({"a":1})", R"({"a":1,"c":2})"}, {"{}", R"({"b":1})", R"({"a":1,"b":1})"});
  for (const bool exclusive : {false, true}) {
    const std::string schema =
        R"({"$schema":"http://json-schema.org/draft-04/schema#","type":"integer","minimum":1,)"
        R"("maximum":3,"exclusiveMaximum":)" +
        std::string(exclusive ? "true}" : "false}");
    judge(schema.c_str(), {"1", "2"}, {"0", "4"});
    EXPECT_EQ(Accepts(*Schema(schema), "3"), !exclusive);
  }
  judge(R"({"enum":[1,1.5,2],"multipleOf":1})", {"1", "2"}, {"1.5"});
  judge(R"({"enum":[0.5,0.25,1],"multipleOf":0.5})", {"0.5", "1"}, {"0.25"});
}

TEST(CompileJsonSchema, SaysWhereAndWhyItRefuses) {
  const std::pair<const char*, std::vector<const char*>> cases[] = {
      {R"j({"properties":{"a":{"pattern":"(?<=x)"}}})j",
       {"/properties/a", "'pattern'", "look-behind"}},
      {R"({"items":{"$ref":"http://example.com/x"}})", {"/items", "http://example.com/x"}},
      {R"({"$ref":"#/nowhere"})", {"$ref", "names nothing"}},
      {R"({"$ref":"#"})", {"refers to itself"}},
      {R"({"type":"integer","minimum":1.2,"maximum":1.8})", {"no value satisfies"}},
      {R"({"type":"object","required":["a"],"properties":{"a":{"$ref":"#"}}})",
       {"no value satisfies"}},
      {R"({"items":{"type":"strin"}})", {"/items", "'type'"}},
      {R"({"a":1,"a":2})", {"repeated"}},
      {R"({"type":)", {"not JSON"}},
      {R"({"type":"array","uniqueItems":true})", {"(root)", "'uniqueItems'"}},
      {R"([1])", {"an object or a boolean"}},
      {R"({"minLength":-1})", {"'minLength'"}},
      {R"({"type":"array","items":{"enum":[1]},"uniqueItems":"true"})", {"'uniqueItems'"}},
      {R"({"type":"array","items":{"enum":[1]},"uniqueItems":1})", {"'uniqueItems'"}},
      {R"({"if":5})", {"'if'", "a schema is expected"}},
      {R"({"if":5,"then":true})", {"'if'", "a schema is expected"}},
  };
  for (const auto& [schema, parts] : cases) {
    try {
      CompileJsonSchema(schema);
      ADD_FAILURE() << schema;
    } catch (const Error& error) {
      for (const char* part : parts) EXPECT_THAT(error.message(), HasSubstr(part)) << schema;
    }
  }
}

TEST(CompileJsonSchema, LenientModeTellsWhatItLeftOut) {
  JsonSchemaOptions options;
  options.lenient = true;
  const auto grammar = CompileJsonSchema(
      R"j({"type":"array","uniqueItems":true,"items":{"pattern":"(?<!a)","format":"color"}})j",
      options);
  ASSERT_EQ(grammar->report().ignored.size(), 2);
  EXPECT_EQ(grammar->report().warnings.size(), 1);
}

TEST(CompileJsonSchema, RemoteSchemasComeFromTheCallerOnly) {
  JsonSchemaOptions options;
  options.remotes["http://example.com/x"] = R"({"$defs":{"y":{"type":"integer"}}})";
  const auto constraint = Schema(R"({"$ref":"http://example.com/x#/$defs/y"})", options);
  EXPECT_TRUE(Accepts(*constraint, "3"));
  EXPECT_FALSE(Accepts(*constraint, "\"3\""));
}

// What other engines hang on is compiled, or refused, within the fuel.
TEST(CompileJsonSchema, HostileSchemasAreBounded) {
  std::string deep = R"({"type":"integer"})";
  for (int i = 0; i < 40; ++i)
    deep = R"({"oneOf":[)" + deep + R"(,{"type":"object","properties":{"x":)" +
           deep.substr(0, 200) + "}}]}";
  std::string wide = R"({"type":"object","properties":{)";
  for (int i = 0; i < 3000; ++i)
    wide += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + R"(":{"type":"string"})";
  wide += "}}";
  std::string all = R"({"type":"object","allOf":[)";
  for (int i = 0; i < 30; ++i)
    all += std::string(i > 0 ? "," : "") + R"({"anyOf":[{"required":["a)" + std::to_string(i) +
           R"("]},{"required":["b)" + std::to_string(i) + R"("]}]})";
  all += "]}";
  for (
      const std::string& schema :
      {std::string(R"({"type":"string","maxLength":100000000})"), wide, all, deep,
       std::string(
           R"({"type":"string","pattern":"^(((a{0,900}){0,900}){0,900}b){0,900}$","minLength":5})"),
       std::string(
           R"({"type":"array","minItems":4000000000,"items":{"type":"array","minItems":4000000000}})")}) {
    try {
      const auto constraint = Schema(schema);
      std::vector<uint32_t> bits(constraint->num_mask_words());
      constraint->Start().Mask(bits);
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::kInternal) << error.message();
    }
  }
}

}  // namespace
}  // namespace retort::grammar
