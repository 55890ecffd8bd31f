// Small templates against what Python's Jinja2 made of them: tests/conformance/jinja_cases.jsonl,
// written by make_jinja_cases.py beside it.
#include <gtest/gtest.h>

#include <sstream>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/chat/template.h"

namespace retort {
namespace {

TEST(JinjaCases, RenderAsPython) {
  std::istringstream lines(
      ReadFile(std::string(RETORT_SOURCE_DIR) + "/tests/conformance/jinja_cases.jsonl", 1 << 24));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const Json context = ParseJson(line, "jinja_cases.jsonl")["context"];
  int num_cases = 0;
  while (std::getline(lines, line)) {
    const Json expected = ParseJson(line, "jinja_cases.jsonl");
    const std::string source = expected["template"];
    SCOPED_TRACE(source);
    ++num_cases;
    std::string text;
    std::optional<Error> failure;
    try {
      text = PlainText(Template::Parse(source, "case").Render(context));
    } catch (const Error& error) {
      failure = error;
    }
    if (expected.contains("error")) {
      EXPECT_TRUE(failure) << "Python: " << expected["error"] << "\nhere: " << text;
      if (failure) {
        EXPECT_NE(failure->code(), ErrorCode::kInternal) << failure->message();
        EXPECT_EQ(failure->message().rfind("case:", 0), 0u) << failure->message();
      }
    } else {
      EXPECT_FALSE(failure) << failure->message();
      EXPECT_EQ(text, expected["ok"].get<std::string>());
    }
  }
  EXPECT_GE(num_cases, 150);
}

}  // namespace
}  // namespace retort
