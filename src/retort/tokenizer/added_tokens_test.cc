#include "retort/tokenizer/added_tokens.h"

#include <gtest/gtest.h>

#include <array>

#include "retort/base/error.h"
#include "retort/base/json.h"
#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/regex.h"
#include "retort/tokenizer/work_budget.h"

namespace retort {
namespace {

using Range = AddedTokenMatcher::Range;

// "id[begin,end)" of each match; all of `text` is the template's but for what `template_end` cuts.
std::string Matches(const std::vector<AddedToken>& tokens, std::string_view text,
                    size_t template_end) {
  AddedTokenMatcher matcher;
  for (const AddedToken& token : tokens) matcher.Add(token);
  const std::array<Range, 1> ranges = {Range{0, template_end}};
  std::string all;
  WorkBudget budget(text.size(), "tokenizer");
  for (const auto& match : matcher.FindAll(text, ranges, &budget)) {
    all += fmt::format("{}[{},{})", match.id, match.range.first, match.range.second);
  }
  return all;
}

TEST(AddedTokens, ControlTokensLieInTheTemplateAsAWhole) {
  const std::vector<AddedToken> tokens = {{.id = 1, .content = "<s>", .control = true},
                                          {.id = 2, .content = "<t>"}};
  EXPECT_EQ(Matches(tokens, "<s><t>", 6), "1[0,3)2[3,6)");
  EXPECT_EQ(Matches(tokens, "<s><t>", 3), "1[0,3)2[3,6)");
  EXPECT_EQ(Matches(tokens, "<s><t>", 2), "2[3,6)");  // its last byte is a row's
  EXPECT_EQ(Matches(tokens, "<s><t>", 0), "2[3,6)");
}

TEST(AddedTokens, WhiteSpaceGoesToOneOfThem) {
  const std::vector<AddedToken> tokens = {{.id = 1, .content = "<a>", .rstrip = true},
                                          {.id = 2, .content = "<b>", .lstrip = true}};
  EXPECT_EQ(Matches(tokens, " <a> <b> ", 9), "1[1,5)2[5,8)");
  EXPECT_EQ(Matches(tokens, "x  <b>", 6), "2[1,6)");
  EXPECT_EQ(Matches(tokens, "  <b>", 5), "2[0,5)");
}

TEST(AddedTokens, AWordOfItsOwnHasNoLetterBesideIt) {
  const std::vector<AddedToken> tokens = {{.id = 1, .content = "and", .single_word = true}};
  for (const char* inside : {"band", "andy", "xandx", "5and", "and5", "éand", "andé"}) {
    EXPECT_EQ(Matches(tokens, inside, 0), "") << inside;
  }
  EXPECT_EQ(Matches(tokens, "and", 0), "1[0,3)");
  EXPECT_EQ(Matches(tokens, ".and!", 0), "1[1,4)");
}

TEST(AddedTokens, TheLongestWinsAndEmptyOnesAreLeftOut) {
  const std::vector<AddedToken> tokens = {{.id = 1, .content = "<a"},
                                          {.id = 2, .content = "<a>"},
                                          {.id = 3, .content = ""},
                                          {.id = 4, .content = "<a>"}};
  EXPECT_EQ(Matches(tokens, "<a><a", 5), "2[0,3)1[3,5)");
}

// Unknown characters side by side are one token, and only those.
TEST(TokenizerJson, UnknownCharactersAreFusedWhereTheyAdjoin) {
  const auto ids = [](bool fuse, std::string_view text) {
    const Json file = {{"model",
                        {{"type", "BPE"},
                         {"unk_token", "<unk>"},
                         {"fuse_unk", fuse},
                         {"vocab", {{"<unk>", 0}, {"a", 1}}},
                         {"merges", Json::array()}}}};
    return LoadTokenizerJson(DumpJson(file), "t")->Encode(text, false);
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(ids(true, "?a?"), (Ids{0, 1, 0}));
  EXPECT_EQ(ids(true, "??a???"), (Ids{0, 1, 0}));
  EXPECT_EQ(ids(false, "??a?"), (Ids{0, 0, 1, 0}));
}

TEST(TokenizerRegex, TakesThePatternThatIsAtItsBound) {
  const auto comment = [](size_t bytes) { return "(?#" + std::string(bytes - 4, 'x') + ")"; };
  EXPECT_NO_THROW(Regex(comment(kPatternBytesMax), "t"));
  EXPECT_THROW(Regex(comment(kPatternBytesMax + 1), "t"), Error);
}

}  // namespace
}  // namespace retort
