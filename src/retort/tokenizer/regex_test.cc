#include "retort/tokenizer/regex.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "retort/base/error.h"

namespace retort {
namespace {

// The matches of `pattern` and what lies between them.
std::vector<std::string> Pieces(std::string_view pattern, std::string_view text) {
  const Regex regex(pattern, "p");
  WorkBudget budget(text.size(), "p");
  RegexMatches matches(regex, text, &budget);
  std::vector<std::string> pieces;
  size_t at = 0;
  for (size_t begin = 0, end = 0; matches.Next(&begin, &end); at = end) {
    if (begin > at) pieces.emplace_back(text.substr(at, begin - at));
    pieces.emplace_back(text.substr(begin, end - begin));
  }
  if (at < text.size()) pieces.emplace_back(text.substr(at));
  return pieces;
}

// Tokenizer files are written for Oniguruma. Expected is what the Python package tokenizers 0.23.3
// makes of the same with Split(Regex(pattern), "isolated").
TEST(Regex, MeansWhatOnigurumaMeans) {
  const struct {
    const char* pattern;
    const char* text;
    std::vector<std::string> pieces;
  } cases[] = {
      {"[\\p{L}&&[^b]]+", "abcd", {"a", "b", "cd"}},
      {"[^a[bc]]+", "abcdea]", {"abc", "de", "a", "]"}},
      {"[a[bc]]+", "xabcdx", {"x", "abc", "dx"}},
      {" ?[^(\\s|[.,!?])]+", " ab,cd) e|f", {" ab", ",", "cd", ")", " e", "|", "f"}},
      {"[\\S&&[^a-c]]+", "abxyc z", {"ab", "xy", "c ", "z"}},
      {"[^\\S]+", "a \nb", {"a", " \n", "b"}},
      {"[a-z&&[^aeiou]&&[^x-z]]+", "abcxyzdef", {"a", "bc", "xyz", "d", "e", "f"}},
      {"[^\\p{L}&&[^ ]]+", "ab 12 c", {"ab", " 12 ", "c"}},
      {"[]a]+", "b]a]b", {"b", "]a]", "b"}},
      {"a{,2}c", "aaacac", {"a", "aac", "ac"}},
      {"a{1,2}", "aaa", {"aa", "a"}},
      {"\\h+", "xyBAD9z", {"xy", "BAD9", "z"}},
      {"\\H+", "xyBAD9z", {"xy", "BAD9", "z"}},
      {"[\\h_]+", "_aGf", {"_a", "G", "f"}},
      {"^b", "ab\nba", {"ab\n", "b", "a"}},
      {"a$", "a\nba", {"a", "\nb", "a"}},
      {"(?i)[a-c&&[^b]]+", "aBCbA", {"a", "B", "C", "b", "A"}},
  };
  for (const auto& [pattern, text, pieces] : cases) {
    EXPECT_EQ(Pieces(pattern, text), pieces) << pattern;
  }
}

TEST(Regex, NestedClassesHaveABound) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') + "a" +
           std::string(static_cast<size_t>(depth), ']');
  };
  EXPECT_EQ(Pieces(nested(17), "ba"), (std::vector<std::string>{"b", "a"}));
  EXPECT_THROW(Regex(nested(18), "p"), Error);
  EXPECT_THROW(Regex("[a[b]", "p"), Error);
  EXPECT_THROW(Regex("[a&&", "p"), Error);
  EXPECT_THROW(Regex("[", "p"), Error);
}

}  // namespace
}  // namespace retort
