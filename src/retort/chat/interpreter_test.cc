// What a statement leaves behind: names, lines, order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "retort/base/error.h"
#include "retort/chat/template.h"

namespace retort {
namespace {

using testing::HasSubstr;

std::string Render(const std::string& source, const RenderOptions& options = {}) {
  try {
    return PlainText(Template::Parse(source, "t.jinja").Render(Json::object(), options));
  } catch (const Error& error) {
    return "error: " + error.message();
  }
}

TEST(Interpreter, EachRoundOfALoopBeginsWithoutTheLastOnesNames) {
  EXPECT_EQ(Render("{% for i in [1, 2, 3] %}{{ x is defined }}{% set x = i %}{% endfor %}"),
            "FalseFalseFalse");
}

TEST(Interpreter, ErrorsNameTheLineAfterACallToo) {
  EXPECT_THAT(Render("{% macro m() %}\n\n\n{% endmacro %}\n{{ m() ~ 1 / 0 }}"),
              HasSubstr("t.jinja:5:"));
  EXPECT_THAT(Render("{% macro m() %}\n\n{{ 1 / 0 }}{% endmacro %}\n{{ m() }}"),
              HasSubstr("t.jinja:3:"));
  EXPECT_THAT(Render("{% for i in [[[]]] recursive %}\n\n{{ loop(i) }}{% endfor %}\n{{ 1 / 0 }}"),
              HasSubstr("t.jinja:4:"));
}

TEST(Interpreter, EqualItemsKeepTheirOrderWhicheverWayTheyAreSorted) {
  const std::string items = "{% set l = [[1, 'a'], [2, 'b'], [1, 'c'], [2, 'd']] %}";
  EXPECT_EQ(Render(items + "{{ l | sort(attribute=0) | map('last') | join }}"), "acbd");
  EXPECT_EQ(Render(items + "{{ l | sort(true, attribute=0) | map('last') | join }}"), "bdac");
}

TEST(Interpreter, AnArgumentIsGivenOnce) {
  EXPECT_THAT(Render("{{ 'a' | center(3, width=5) }}"), HasSubstr("multiple values"));
}

TEST(Interpreter, ATextLongerByTheLeewayIsNotCut) {
  EXPECT_EQ(Render("{{ 'abcdefghij' | truncate(5) }}"), "abcdefghij");
  EXPECT_EQ(Render("{{ 'abcdefghijk' | truncate(5) }}"), "ab...");
  EXPECT_EQ(Render("{{ 'abcdef' | truncate(5, true, '.', 1) }}"), "abcdef");
  EXPECT_EQ(Render("{{ 'abcdefg' | truncate(5, true, '.', 1) }}"), "abcd.");
}

TEST(Interpreter, SlicesAreFilledUpToTheLongest) {
  EXPECT_EQ(Render("{{ range(7) | slice(3, 'x') | list }}"),
            "[[0, 1, 2], [3, 4, 'x'], [5, 6, 'x']]");
  EXPECT_EQ(Render("{{ range(6) | slice(3) | list }}"), "[[0, 1], [2, 3], [4, 5]]");
}

}  // namespace
}  // namespace retort
