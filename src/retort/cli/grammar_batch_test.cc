#include "retort/cli/grammar_batch.h"

#include <gtest/gtest.h>

#include <sstream>

#include "retort/base/error.h"

namespace retort {
namespace {

TEST(CheckGrammarBatch, AnswersLineByLine) {
  std::istringstream in(
      "{\"schema\": {\"type\": \"integer\", \"minimum\": 3}, \"texts\": [\"2\", \"3\", \"x\"]}\n"
      "{\"schema\": false}\n"
      "{\"schema\": {\"const\": \"a\"}, \"samples\": 2, \"seed\": 7}\n");
  std::string out;
  CheckGrammarBatch(in, [&](const std::string& answer) { out += answer; }, {});
  std::istringstream lines(out);
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(line, R"({"accepted":[false,true,false],"samples":[]})");
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_NE(line.find(R"("code":"invalid")"), std::string::npos) << line;
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(line, R"({"accepted":[],"samples":["\"a\"","\"a\""]})");
  EXPECT_FALSE(std::getline(lines, line));
}

TEST(CheckGrammarBatch, BadLinesAreErrors) {
  for (const char* text :
       {"{", "{}", "[]", "3", "{\"schema\": {}, \"texts\": [3]}",
        "{\"schema\": {}, \"texts\": \"x\"}", "{\"schema\": {}, \"samples\": \"many\"}"}) {
    std::istringstream in(text);
    EXPECT_THROW(CheckGrammarBatch(in, [](const std::string&) {}, {}), Error) << text;
  }
}

}  // namespace
}  // namespace retort
