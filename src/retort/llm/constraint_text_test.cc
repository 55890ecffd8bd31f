#include "retort/llm/constraint_text.h"

#include <gmock/gmock.h>

#include <set>

#include "retort/base/error.h"
#include "retort/llm/scripted_model.h"

namespace retort {
namespace {

using testing::HasSubstr;

std::string RefusalOf(const ConstraintText& constraint) {
  try {
    CompileConstraint(constraint);
  } catch (const Error& error) {
    return error.message();
  }
  return "compiled";
}

TEST(ConstraintText, RefusalsNameThePlace) {
  EXPECT_THAT(RefusalOf(*JsonSchemaConstraint("{\"type\": 3}")), HasSubstr("'type'"));
  EXPECT_THAT(RefusalOf(*JsonSchemaConstraint("[")), HasSubstr("schema:1:2: not JSON"));
  EXPECT_THAT(RefusalOf(*RegexConstraint("a)")), HasSubstr("regular expression: at character"));
  EXPECT_THAT(RefusalOf(*GbnfConstraint("root ::= \"a\n")), HasSubstr("grammar:2:1: "));
  EXPECT_THAT(RefusalOf(*ChoiceConstraint({"a", ""})), HasSubstr("choices[1] is empty"));
  EXPECT_EQ(RefusalOf(*GbnfConstraint("root ::= \"a\"")), "compiled");
}

TEST(ConstraintText, KeysCoverEveryField) {
  std::set<std::string> keys;
  ConstraintText text = *JsonSchemaConstraint("{}");
  keys.insert(ConstraintKey(text));
  text.any_property_order = true;
  keys.insert(ConstraintKey(text));
  text.formats_are_annotations = true;
  keys.insert(ConstraintKey(text));
  text.kind = ConstraintText::Kind::kRegex;
  keys.insert(ConstraintKey(text));
  text.choices = {"a"};
  keys.insert(ConstraintKey(text));
  text.text += ' ';
  keys.insert(ConstraintKey(text));
  EXPECT_EQ(keys.size(), 6u);
}

// So that tests of what stands above the engine see what a real model would do.
TEST(ScriptedModel, TellsWhetherItsAnswerMeetsTheConstraint) {
  ScriptedModel model("12");
  Request request;
  request.prompt = std::vector<Span>{{"x", false}};
  const auto ask = [&](std::shared_ptr<const ConstraintText> constraint) {
    Generation generation;
    generation.constraint = std::move(constraint);
    request.work = generation;
    return std::get<Completion>(Await(model, request).result).constraint_met;
  };
  EXPECT_TRUE(ask(nullptr));
  EXPECT_TRUE(ask(RegexConstraint("[0-9]+")));
  EXPECT_FALSE(ask(RegexConstraint("[0-9]{3}")));
  EXPECT_TRUE(ask(JsonSchemaConstraint(R"({"type": "integer", "maximum": 12})")));
  EXPECT_FALSE(ask(JsonSchemaConstraint(R"({"type": "integer", "maximum": 11})")));
  EXPECT_THROW(ask(RegexConstraint("(")), Error);
}

}  // namespace
}  // namespace retort
