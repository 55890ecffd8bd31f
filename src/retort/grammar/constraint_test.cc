#include "retort/grammar/constraint.h"

#include <gmock/gmock.h>

#include <thread>

#include "retort/base/error.h"
#include "retort/grammar/mask_check.h"

namespace retort::grammar {
namespace {

using testing::HasSubstr;

std::shared_ptr<const Constraint> Regex_(const std::string& pattern) {
  static const auto vocabulary = SmallVocabulary();
  return std::make_shared<const Constraint>(CompileRegex(pattern), vocabulary);
}

struct RegexCase {
  const char* pattern;
  std::vector<std::string> yes;
  std::vector<std::string> no;
};

TEST(CompileRegex, MatchesWholeTexts) {
  const RegexCase cases[] = {
      {"[a-c]{2,3}", {"ab", "abc"}, {"a", "abca", "abd", ""}},
      {"a|bc|", {"a", "bc", ""}, {"b", "abc"}},
      {"(ab)*c+?", {"c", "ababcc"}, {"ab", "abab"}},
      {R"(\d{3}-\d{4})", {"555-0199"}, {"5555-019"}},
      {R"(^x$|^y)", {"x", "y"}, {"xy"}},
      {R"(\p{Lu}\p{Ll}+)", {"Ab", "\xC3\x89t\xC3\xA9"}, {"ab", "A"}},
      {"(?i)stra\xC3\x9F"
       "e",
       {"STRA\xC3\x9F"
        "E"},
       {"strasse"}},
      {R"([^\x00-\x7F]+)", {"\xE2\x82\xAC", "\xF0\x9F\x98\x80"}, {"a", "\xE2\x82"}},
      {R"([\w&&[^\d_]]+)", {"abc"}, {"a1", "_"}},
      {"(a{0,5}){0,5}", {"", std::string(25, 'a')}, {std::string(26, 'a')}},
      {R"(\u{1F600}|\x41)", {"\xF0\x9F\x98\x80", "A"}, {"B"}},
      // As Python and Rust read them.
      {R"(\d)", {"7", "\xD9\xA3"}, {"a"}},
      {R"([0-9])", {"7"}, {"\xD9\xA3"}},
      {R"([^\[\]]+)", {"ab"}, {"a[b", "]"}},
      {R"({"a": \d+})", {R"({"a": 12})"}, {R"({"a": })"}},
      {R"(\{"a": \d\})", {R"({"a": 1})"}, {"{}"}},
      {"a{b}{x", {"a{b}{x"}, {"aab"}},
      {"a{,3}", {"", "a", "aaa"}, {"aaaa", "a{,3}"}},
      {"a{2,}", {"aa", "aaaa"}, {"a"}},
      {R"(\Aab\Z)", {"ab"}, {"ab\n", "a"}},
      {R"(\Aab\z)", {"ab"}, {"ab\n"}},
      // Look-ahead up to the end is an intersection.
      {"(?!no)[a-z]+", {"yes", "n", "on"}, {"no", "north"}},
      {"(?!no$)[a-z]+", {"yes", "north"}, {"no"}},
      {"^(?=.*[A-Z])(?=.*[0-9]).{4,6}$", {"aA1b", "1A2345"}, {"aa1b", "A1", "aAbb"}},
      {"a(?=b)(?=.c)[a-c]+", {"abc", "abca"}, {"acb", "abb"}},
      {"x(?=b)[a-c]+|y(?!a).", {"xbc", "yb"}, {"xcb", "ya"}},
      {"(?:a|b(?!c)[a-z])$", {"a", "bd"}, {"bc"}},
      // These two are pydantic's, of Decimal.
      {R"(^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$)",
       {"1", "-1.50", "+.5", "5.", "007", "0"},
       {"", "-", "+.", ".", "1e5", "1.2.3"}},
      {R"(^(?!^[-+.]*$)[+-]?0*(?:\d{0,3}|(?=[\d.]{1,6}0*$)\d{0,3}\.\d{0,2}0*$))",
       {"123", "-12.34", "12.3400"},
       {"1234", "12.345", "-"}},
  };
  for (const RegexCase& c : cases) {
    const auto constraint = Regex_(c.pattern);
    for (const auto& text : c.yes)
      EXPECT_TRUE(Accepts(*constraint, text)) << c.pattern << " " << text;
    for (const auto& text : c.no)
      EXPECT_FALSE(Accepts(*constraint, text)) << c.pattern << " " << text;
  }
}

TEST(CompileRegex, SaysWhyItRefuses) {
  const std::pair<const char*, const char*> cases[] = {
      {"(?:a(?=b))bc", "look-ahead is supported where"},
      {"(?:(?=a)[a-z])+", "look-ahead is supported where"},
      {"(?=a)*[a-z]", "cannot be repeated"},
      {"(?<=a)b", "look-behind is not supported: write"},
      {"(?>a)b", "write (?:...)"},
      {"(?P<n>a)(?P=n)", "back-references"},
      {R"(\Ga)", "unknown escape \\G"},
      {R"([^[\]]+)", "write \\[ for the character"},
      {"{3}", "nothing to repeat"},
      {R"((a)\1)", "back-references"},
      {R"(\bword)", "word boundaries"},
      {"(a", "no ')'"},
      {"a)", "closes no group"},
      {"[a", "no ']'"},
      {"*a", "nothing to repeat"},
      {"a{3,2}", "minimum exceeds"},
      {R"(\p{Klingon})", "Klingon"},
      {"[b-a]", "out of order"},
      {"[^\\x{0}-\\x{10FFFF}]", "no text at all"},
  };
  for (const auto& [pattern, why] : cases) {
    try {
      CompileRegex(pattern);
      ADD_FAILURE() << pattern;
    } catch (const Error& error) {
      EXPECT_THAT(error.message(), HasSubstr(why)) << pattern;
    }
  }
}

TEST(CompileRegex, LargeCountsCostNothingUntilTheyAreUsed) {
  EXPECT_TRUE(Accepts(*Regex_("[a-z]{0,1000000}!"), "abc!"));
  EXPECT_TRUE(Accepts(*Regex_("(([a-z]{0,1000}){0,1000}){0,1000}"), "abcdef"));
}

TEST(CompileRegex, MasksEqualBruteForce) {
  for (const char* pattern : {"[a-c]{2,3}", "(true|false|null)(,(true|false))*", "\"[^\"\\\\]*\"",
                              ".*", "a.*b", "[a-z0-9_-]{3,9}", "\\p{L}+", "(a|ab|abc)+!",
                              "[^a]*a[^a]", "(?s).{0,4}", "\\u{E9}|\\u{20AC}"}) {
    SCOPED_TRACE(pattern);
    CheckMasks(*Regex_(pattern), 1, 4, 8);
  }
}

TEST(CompileChoice, AllowsExactlyTheChoices) {
  static const auto vocabulary = SmallVocabulary();
  const Constraint constraint(CompileChoice({"yes", "no", "not sure", "no", "\xC3\xA9"}),
                              vocabulary);
  EXPECT_TRUE(Accepts(constraint, "yes"));
  EXPECT_TRUE(Accepts(constraint, "no"));
  EXPECT_TRUE(Accepts(constraint, "not sure"));
  EXPECT_TRUE(Accepts(constraint, "\xC3\xA9"));
  EXPECT_FALSE(Accepts(constraint, "not"));
  CheckMasks(constraint, 2, 6, 10);
  EXPECT_THROW(CompileChoice({}), Error);
  EXPECT_THROW(CompileChoice({"a", ""}), Error);
  EXPECT_THROW(CompileChoice({"\xFF"}), Error);
}

TEST(ConstraintState, ForksAndGoesBack) {
  const auto constraint = Regex_("ab*c");
  ConstraintState state = constraint->Start();
  ASSERT_TRUE(state.Commit('a'));
  ConstraintState fork = state.Fork();
  ASSERT_TRUE(state.Commit('b'));
  ASSERT_TRUE(state.Commit('c'));
  EXPECT_TRUE(state.IsComplete());
  EXPECT_TRUE(state.MustEnd());
  EXPECT_FALSE(state.Commit('c'));
  EXPECT_FALSE(fork.IsComplete());
  ASSERT_TRUE(fork.Commit('c'));
  state.Rollback(2);
  EXPECT_EQ(state.num_committed(), 1);
  EXPECT_TRUE(state.Allows('b'));
  EXPECT_FALSE(state.Allows('a'));
  EXPECT_THROW(state.Rollback(2), Error);
  const int32_t end = constraint->vocabulary().end_ids()[1];
  EXPECT_FALSE(state.Commit(end));
  ASSERT_TRUE(fork.Commit(end));
  EXPECT_TRUE(fork.IsFinished());
  EXPECT_FALSE(fork.Commit(end));
  EXPECT_FALSE(fork.Commit(-1));
  EXPECT_FALSE(fork.Commit(1 << 30));
}

TEST(ConstraintState, TellsForcedBytes) {
  const auto constraint = Regex_("(abc|abd)efg");
  ConstraintState state = constraint->Start();
  EXPECT_EQ(state.ForcedBytes(), "ab");
  ASSERT_TRUE(state.Commit('a'));
  ASSERT_TRUE(state.Commit('b'));
  EXPECT_EQ(state.ForcedBytes(), "");
  ASSERT_TRUE(state.Commit('c'));
  EXPECT_EQ(state.ForcedBytes(), "efg");
}

TEST(ConstraintState, LongGenerationsAreTakenDownWithoutRecursion) {
  const auto constraint = Regex_("a*");
  ConstraintState state = constraint->Start();
  for (int i = 0; i < 300'000; ++i) ASSERT_TRUE(state.Commit('a'));
}

TEST(ConstraintCache, CompilesOnceAndForgetsTheOldest) {
  ConstraintCache cache(SmallVocabulary(), 2);
  std::atomic<int> num_compiles = 0;
  const auto get = [&](const std::string& pattern) {
    return cache.Get(pattern, [&] {
      ++num_compiles;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      return CompileRegex(pattern);
    });
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { EXPECT_NE(get("a+"), nullptr); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_compiles, 1);
  get("b");
  get("a+");
  get("c");  // "b" is the oldest
  EXPECT_EQ(cache.size(), 2);
  get("a+");
  EXPECT_EQ(num_compiles, 3);
  EXPECT_THROW(get("("), Error);
  EXPECT_THROW(get("("), Error);
  EXPECT_EQ(num_compiles, 5);
}

TEST(ConstraintCache, ForgetsTheOldestBeyondItsBytes) {
  const auto one = [](ConstraintCache& cache, int i) {
    const std::string pattern = "(a{1," + std::to_string(200 + i) + "}b)*";
    return cache.Get(pattern, [&] { return CompileRegex(pattern); });
  };
  const auto use = [](const std::shared_ptr<const Constraint>& constraint) {
    ConstraintState state = constraint->Start();
    std::vector<uint32_t> bits(state.num_mask_words());
    for (int i = 0; i < 64; ++i) {
      state.Mask(bits);
      EXPECT_TRUE(state.Commit('a'));
    }
  };
  ConstraintCache probe(SmallVocabulary());
  const auto probed = one(probe, 0);
  const uint64_t unused = probed->memory_bytes();
  use(probed);
  const uint64_t used = probed->memory_bytes();
  EXPECT_GT(used, unused);

  ConstraintCache cache(SmallVocabulary(), 100, 4 * used);
  const auto first = one(cache, 0);
  for (int i = 0; i < 12; ++i) use(one(cache, i));
  one(cache, 11);
  EXPECT_GE(cache.size(), 2);
  EXPECT_LE(cache.size(), 5);
  EXPECT_NE(one(cache, 0), first);  // made anew
  use(first);                       // and lives as long as it is held

  ConstraintCache tiny(SmallVocabulary(), 100, 1);
  use(one(tiny, 0));
  EXPECT_EQ(one(tiny, 0), one(tiny, 0));  // the one that is asked for stays
  one(tiny, 1);
  EXPECT_EQ(tiny.size(), 1);
}

TEST(Constraint, IsSharedBetweenThreads) {
  const auto constraint = Regex_("(\"[a-z]{1,8}\",)*!");
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] { CheckMasks(*constraint, i, 1, 6); });
  }
  for (std::thread& thread : threads) thread.join();
}

// What a grammar makes every byte cost is paid by its own request, with an error.
TEST(Constraint, WorkIsBounded) {
  const std::string ambiguous = "root ::= s\ns ::= s s | s s s | [a-z]+\n";
  const auto vocabulary = SmallVocabulary();
  Limits limits;
  limits.work_max = 30'000;
  limits.work_per_token = 10;
  const Constraint bounded(CompileGbnf(ambiguous, limits), vocabulary);
  ConstraintState state = bounded.Start();
  std::vector<uint32_t> bits(bounded.num_mask_words());
  const int32_t letter = vocabulary->LongestTokens("a")[0];
  bool ended = false;
  for (int i = 0; i < 1000 && !ended; ++i) {
    const int num_committed = state.num_committed();
    try {
      state.Mask(bits);
      ASSERT_TRUE(state.Commit(letter));
    } catch (const Error& error) {
      ended = true;
      EXPECT_EQ(error.code(), ErrorCode::kExhausted);
      EXPECT_THAT(error.message(), HasSubstr("work"));
      EXPECT_EQ(state.num_committed(), num_committed);
    }
  }
  EXPECT_TRUE(ended);
  EXPECT_TRUE(bounded.Start().Commit(letter)) << "another request of the same grammar";
  EXPECT_TRUE(Accepts(Constraint(CompileGbnf(ambiguous), vocabulary), "aaaaaa"));
}

// Equal stacks of rules are known again: the second mask costs next to no work.
TEST(Constraint, RightRecursionIsMetOnce) {
  Limits limits;
  const auto vocabulary = SmallVocabulary();
  limits.work_per_token = 400;  // for the commit
  const Constraint bounded(
      CompileGbnf("root ::= \"<\" chars \">\"\nchars ::= [a-z ] chars | \"\"\n", limits),
      vocabulary);
  ConstraintState state = bounded.Start();
  std::vector<uint32_t> bits(bounded.num_mask_words());
  ASSERT_TRUE(state.Commit(vocabulary->LongestTokens("<")[0]));
  const int32_t letter = vocabulary->LongestTokens("q")[0];
  for (int i = 0; i < 5000; ++i) {
    state.Mask(bits);
    ASSERT_TRUE(state.Commit(letter)) << i;
  }
  EXPECT_FALSE(state.IsComplete());
}

// Rules that share their parts are a small graph, though of endless ways through it.
TEST(Constraint, SharedPartsAreNotVisitedOncePerWay) {
  std::string grammar = "root ::= a0\n";
  for (int i = 0; i < 40; ++i) {
    const std::string next = "a" + std::to_string(i + 1);
    grammar += "a" + std::to_string(i) + " ::= " + next + " | " + next + " " + next + "\n";
  }
  const Constraint constraint(CompileGbnf(grammar + "a40 ::= \"x\" | \"\"\n"), SmallVocabulary());
  std::vector<uint32_t> bits(constraint.num_mask_words());
  try {
    constraint.Start().Mask(bits);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kExhausted) << error.message();
  }
}

}  // namespace
}  // namespace retort::grammar
