#include <gmock/gmock.h>

#include "retort/base/error.h"
#include "retort/grammar/mask_check.h"
#include "retort/grammar/text_check.h"

namespace retort::grammar {
namespace {

std::vector<Tag> Tools() {
  return {{"<tool", "<tool=add>", CompileJsonSchema(R"({"type":"array","items":{"type":"integer"},
           "maxItems":2})"),
           "</tool>"},
          {"<tool", "<tool=say>", CompileRegex("[a-z]{1,3}"), "</tool>"},
          {"[[", "[[", CompileGbnf("root ::= \"x\" root? \"y\""), "]]"}};
}

TEST(CompileTags, FreeTextBetweenCalls) {
  const auto grammar = CompileTags(Tools());
  for (const char* text :
       {"", "Hello.", "a <too much", "x<tool=add>[1, 2]</tool> and <tool=say>abc</tool>",
        "<<tool=say>a</tool>", "[ [x [[xxyy]][[xy]]", "\xC3\xA9<tool=say>a</tool>\n"}) {
    EXPECT_TRUE(CheckText(*grammar, text).accepted) << text;
  }
  for (const char* text : {"<tool", "a <tool> b", "<tool=add>[1,2,3]</tool>", "<tool=say></tool>",
                           "[[xyy]]", "[[xy]", "<tool=say>abc</tool"}) {
    EXPECT_FALSE(CheckText(*grammar, text).accepted) << text;
  }
}

TEST(CompileTags, CountsCalls) {
  TagOptions once;
  once.least = once.most = 1;
  once.text_after = false;
  const auto grammar = CompileTags(Tools(), once);
  EXPECT_TRUE(CheckText(*grammar, "so: <tool=say>a</tool>").accepted);
  EXPECT_FALSE(CheckText(*grammar, "so: <tool=say>a</tool> x").accepted);
  EXPECT_FALSE(CheckText(*grammar, "so").accepted);
  TagOptions few;
  few.most = 2;
  EXPECT_TRUE(CheckText(*CompileTags(Tools(), few), "[[xy]][[xy]] no [ more").accepted);
  EXPECT_FALSE(CheckText(*CompileTags(Tools(), few), "[[xy]][[xy]][[xy]]").accepted);
  TagOptions none;
  none.text_after = false;
  EXPECT_TRUE(CheckText(*CompileTags(Tools(), none), "only text").accepted);
  EXPECT_FALSE(CheckText(*CompileTags(Tools(), none), "[[xy]] text").accepted);
}

TEST(CompileTags, MasksEqualBruteForce) {
  static const auto vocabulary = SmallVocabulary();
  const auto tag = [](const char* trigger, std::shared_ptr<const Grammar> body, const char* end) {
    return std::vector<Tag>{{trigger, trigger, std::move(body), end}};
  };
  CheckMasks(Constraint(CompileTags(Tools()), vocabulary), 3, 4, 12);
  CheckMasks(Constraint(CompileTags(tag("\"", CompileRegex("[a-b]*"), "\"")), vocabulary), 4, 4,
             12);
  CheckMasks(Constraint(CompileTags(tag("a", CompileJsonSchema("{}"), "b")), vocabulary), 5, 4, 12);
}

TEST(CompileTags, RefusesWhatCannotBe) {
  const auto body = CompileRegex("x");
  const auto refusal = [](const std::vector<Tag>& tags, const TagOptions& options = {}) {
    try {
      CompileTags(tags, options);
    } catch (const Error& error) {
      return error.message();
    }
    return std::string("accepted");
  };
  using testing::HasSubstr;
  EXPECT_THAT(refusal({}), HasSubstr("at least one"));
  EXPECT_THAT(refusal({{"", "x", body, ""}}), HasSubstr("begin with its trigger"));
  EXPECT_THAT(refusal({{"a", "b", body, ""}}), HasSubstr("begin with its trigger"));
  EXPECT_THAT(refusal({{"a", "a", nullptr, ""}}), HasSubstr("no grammar"));
  EXPECT_THAT(refusal({{"\xFF", "\xFF", body, ""}}), HasSubstr("not UTF-8"));
  EXPECT_THAT(refusal({{"<", "<a", body, ""}, {"<b", "<b", body, ""}}),
              HasSubstr("never completed"));
  TagOptions options;
  options.least = 2;
  options.most = 1;
  EXPECT_THAT(refusal({{"a", "a", body, ""}}, options), HasSubstr("at least 2"));
}

}  // namespace
}  // namespace retort::grammar
