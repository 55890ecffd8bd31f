#include "retort/pipeline/structured_output.h"

#include <gmock/gmock.h>

namespace retort {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ReadStructuredOutput, WarnsOfWhatConstrainsNothing) {
  Problems problems;
  const YamlNode node =
      ParseYaml("{format: json, schema: {propertys: {a: {}}, title: t, x-y: 1}}", "p.yaml");
  EXPECT_NE(ReadStructuredOutput(node, "ask.structured_output", ".", problems).constraint, nullptr);
  ASSERT_EQ(problems.items().size(), 1u);
  EXPECT_TRUE(problems.ok());
  EXPECT_THAT(ProblemText(problems.items()[0]),
              HasSubstr("p.yaml:1: warning: 'ask.structured_output.schema': (root): 'propertys' is "
                        "no keyword: it constrains nothing (did you mean 'properties'?)"));
  problems.MakeWarningsErrors();
  EXPECT_FALSE(problems.ok());
}

TEST(RowSchemas, TellsEachKindOnce) {
  std::vector<std::string> told;
  RowSchemas schemas(false, [&](std::string_view line) { told.emplace_back(line); });
  for (const char* schema :
       {R"({"propertys":{}})", R"({"propertys":{"a":{}}})",
        R"({"properties":{"b":{"propertys":1}}})", R"({"type":"string","format":"colour"})",
        R"({"propertys":{}})", R"({"title":"t"})"}) {
    schemas.Check(*JsonSchemaConstraint(schema));
  }
  schemas.Check(*RegexConstraint("a+"));
  EXPECT_THAT(told, ElementsAre(HasSubstr("a row's structured_output: (root): 'propertys'"),
                                HasSubstr("format 'colour'")));
  EXPECT_THROW(schemas.Check(*JsonSchemaConstraint(R"({"type":"strng"})")), Error);
}

TEST(RowSchemas, TellsNoMoreKindsThanAPersonReads) {
  std::vector<std::string> told;
  RowSchemas schemas(false, [&](std::string_view line) { told.emplace_back(line); });
  for (int i = 0; i < 120; ++i) {
    schemas.Check(*JsonSchemaConstraint(fmt::format(R"({{"qqqqqqqq{}":1}})", i)));
  }
  ASSERT_EQ(told.size(), 100u);  // kKindsMax
  EXPECT_THAT(told[98], testing::Not(HasSubstr("others")));
  EXPECT_THAT(told[99], HasSubstr("(others are not told)"));
}

TEST(RowSchemas, IsTheRowsErrorIfStrict) {
  RowSchemas schemas(true, [](std::string_view line) { ADD_FAILURE() << line; });
  for (int round = 0; round < 2; ++round) {
    try {
      schemas.Check(*JsonSchemaConstraint(R"({"require":["a"]})"));
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
      EXPECT_THAT(error.message(), HasSubstr("did you mean 'required'?"));
    }
  }
  schemas.Check(*JsonSchemaConstraint(R"({"required":["a"]})"));
}

}  // namespace
}  // namespace retort
