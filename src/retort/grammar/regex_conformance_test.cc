// The parser of regular expressions against others' cases, and against a matcher that tries
// everything.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <set>
#include <sstream>

#include "retort/base/error.h"
#include "retort/grammar/mask_check.h"
#include "retort/grammar/regex_syntax.h"
#include "retort/grammar/utf8_text.h"

namespace retort::grammar {
namespace {

// --- Rust's test data ---

// The little of TOML that these files use.
struct TomlCase {
  std::map<std::string, std::string> fields;  // as written, texts without their quotes
  bool is_list = false;                       // the regex is a list of them
};

std::string Unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 >= text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    const auto hex = [&](int digits) {
      const auto value = static_cast<char32_t>(std::stoul(text.substr(i + 1, digits), nullptr, 16));
      i += digits;
      return value;
    };
    if (c == 'x') {
      out += static_cast<char>(hex(2));
    } else if (c == 'u') {
      out += EncodeUtf8(std::u32string(1, hex(4)));
    } else if (c == 'U') {
      out += EncodeUtf8(std::u32string(1, hex(8)));
    } else {
      out += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == '0' ? '\0' : c;
    }
  }
  return out;
}

std::vector<TomlCase> ReadToml(const std::string& text) {
  std::vector<TomlCase> cases;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (line.starts_with("[[")) cases.emplace_back();
    const size_t equals = line.find(" = ");
    if (line.starts_with("#") || equals == std::string::npos || cases.empty()) {
      at = end + 1;
      continue;
    }
    size_t begin = at + equals + 3;
    std::string value;
    if (text.compare(begin, 3, "'''") == 0 || text.compare(begin, 3, "\"\"\"") == 0) {
      const std::string quotes = text.substr(begin, 3);
      const size_t close = text.find(quotes, begin + 3);
      value = text.substr(begin + 3, close - begin - 3);
      if (value.starts_with('\n')) value.erase(0, 1);
      if (quotes[0] == '"') value = Unescape(value);
      at = text.find('\n', close) + 1;
    } else if (text[begin] == '\'') {
      const size_t close = text.find('\'', begin + 1);
      value = text.substr(begin + 1, close - begin - 1);
      at = end + 1;
    } else if (text[begin] == '"') {
      size_t close = begin + 1;
      while (text[close] != '"') close += text[close] == '\\' ? 2 : 1;
      value = Unescape(text.substr(begin + 1, close - begin - 1));
      at = std::min(text.find('\n', close), text.size()) + 1;
    } else {
      value = line.substr(equals + 3);
      if (line.starts_with("regex")) cases.back().is_list = true;
      // A list may go on: only whether it is empty is of interest.
      at = end + 1;
    }
    cases.back().fields[line.substr(0, equals)] = value;
  }
  return cases;
}

// Whether the pattern is found somewhere in the text, where both can be said here.
TEST(ParseRegex, FindsWhatRustFinds) {
  const auto folder = SharedData() / "grammars/regex-rust-testdata";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "../shared/data/grammars is absent";
  std::map<std::string, int> refused;
  int num_right = 0;
  int num_left_out = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    // regex-lite is another engine: its classes are ASCII.
    if (entry.path().extension() != ".toml" || entry.path().stem() == "regex-lite") continue;
    for (const TomlCase& test : ReadToml(ReadFile(entry.path(), 4u << 20))) {
      const auto field = [&](const char* name) {
        const auto it = test.fields.find(name);
        return it == test.fields.end() ? std::string() : it->second;
      };
      std::string pattern = field("regex");
      std::string haystack = field("haystack");
      // Sets of patterns, parts of texts, bytes that are no UTF-8, other line ends.
      bool left_out = !test.fields.contains("regex") || !test.fields.contains("matches");
      for (const char* name : {"bounds", "line-terminator", "search-kind"}) {
        left_out = left_out || test.fields.contains(name);
      }
      left_out =
          left_out || field("unicode") == "false" || field("utf8") == "false" || test.is_list;
      if (field("unescape") == "true") haystack = Unescape(haystack);
      if (EncodeUtf8(DecodeUtf8(haystack)) != haystack) left_out = true;
      if (left_out) {
        ++num_left_out;
        continue;
      }
      if (field("case-insensitive") == "true") pattern = "(?i:" + pattern + ")";
      if (field("anchored") == "true") pattern = "^(?:" + pattern + ")";
      const bool found = field("matches") != "[]";
      RegexPool pool{Limits{}};
      Regex r = kNothing;
      try {
        r = ParseRegex(pattern, RegexDialect::kUnicode, true, Limits{}, &pool);
      } catch (const Error& error) {
        if (error.code() == ErrorCode::kInvalid && field("compiles") != "false") {
          std::printf("invalid here: %s\n", pattern.c_str());
        }
        ++refused[error.message().substr(error.message().find(": ") + 2)];
        continue;
      }
      EXPECT_NE(field("compiles"), "false") << test.fields.at("name") << " " << pattern;
      EXPECT_EQ(pool.Matches(r, DecodeUtf8(haystack)), found)
          << entry.path().filename() << " " << test.fields.at("name") << " " << pattern << " in "
          << haystack;
      ++num_right;
    }
  }
  std::ostringstream counts;
  for (const auto& [why, count] : refused) counts << count << " refused: " << why << "\n";
  std::printf("%d judged, %d left out\n%s", num_right, num_left_out, counts.str().c_str());
  EXPECT_GE(num_right, 590);
}

// --- random patterns ---

// A pattern as a tree, and the positions it leads to, found by trying.
struct Tree {
  enum Kind { kByte, kAny, kClass, kCat, kOr, kRepeat, kStart, kEnd } kind = kByte;
  char byte = 'a';
  int min = 0;
  int max = -1;  // -1: no bound
  std::vector<Tree> parts;
};

using Places = std::set<size_t>;

Places Reach(const Tree& tree, const std::string& text, const Places& from) {
  Places to;
  switch (tree.kind) {
    case Tree::kByte:
    case Tree::kAny:
    case Tree::kClass:
      for (const size_t at : from) {
        if (at >= text.size()) continue;
        const bool equal = text[at] == tree.byte;
        if (tree.kind == Tree::kAny || (tree.kind == Tree::kByte ? equal : !equal))
          to.insert(at + 1);
      }
      return to;
    case Tree::kStart:
      if (from.contains(0)) to.insert(0);
      return to;
    case Tree::kEnd:
      if (from.contains(text.size())) to.insert(text.size());
      return to;
    case Tree::kCat:
      to = from;
      for (const Tree& part : tree.parts) to = Reach(part, text, to);
      return to;
    case Tree::kOr:
      for (const Tree& part : tree.parts) {
        const Places way = Reach(part, text, from);
        to.insert(way.begin(), way.end());
      }
      return to;
    case Tree::kRepeat: {
      Places at = from;
      for (int i = 0; i < tree.min; ++i) at = Reach(tree.parts[0], text, at);
      to = at;
      const int more = tree.max < 0 ? static_cast<int>(text.size()) + 1 : tree.max - tree.min;
      for (int i = 0; i < more; ++i) {
        at = Reach(tree.parts[0], text, at);
        to.insert(at.begin(), at.end());
      }
      return to;
    }
  }
  return to;
}

std::string Write(const Tree& tree) {
  switch (tree.kind) {
    case Tree::kByte:
      return {tree.byte};
    case Tree::kAny:
      return ".";
    case Tree::kClass:
      return std::string("[^") + tree.byte + "]";
    case Tree::kStart:
      return "^";
    case Tree::kEnd:
      return "$";
    case Tree::kCat: {
      std::string out;
      for (const Tree& part : tree.parts) out += Write(part);
      return out;
    }
    case Tree::kOr: {
      std::string out = "(?:";
      for (size_t i = 0; i < tree.parts.size(); ++i) {
        out += (i > 0 ? "|" : "") + Write(tree.parts[i]);
      }
      return out + ")";
    }
    case Tree::kRepeat: {
      const std::string part = "(" + Write(tree.parts[0]) + ")";
      if (tree.max < 0 && tree.min < 2) return part + (tree.min == 0 ? "*" : "+");
      if (tree.min == 0 && tree.max == 1) return part + "?";
      return part + "{" + std::to_string(tree.min) + "," +
             (tree.max < 0 ? "" : std::to_string(tree.max)) + "}";
    }
  }
  return "";
}

Tree RandomTree(std::mt19937* random, int depth, bool anchors) {
  const auto pick = [&](uint32_t n) { return static_cast<int>((*random)() % n); };
  Tree tree;
  const int kind = pick(depth > 0 ? 10 : 4);
  tree.byte = static_cast<char>('a' + pick(2));
  if (kind == 3 && anchors) {
    tree.kind = pick(2) == 0 ? Tree::kStart : Tree::kEnd;
  } else if (kind < 4) {
    tree.kind = kind == 1 ? Tree::kAny : kind == 2 ? Tree::kClass : Tree::kByte;
  } else if (kind < 6) {
    tree.kind = Tree::kOr;
  } else if (kind < 8) {
    tree.kind = Tree::kRepeat;
    tree.min = pick(3);
    tree.max = pick(2) == 0 ? -1 : std::max(1, tree.min + pick(3));
    tree.parts.push_back(RandomTree(random, depth - 1, anchors && tree.min < 2 && tree.max < 0));
    return tree;
  } else {
    tree.kind = Tree::kCat;
  }
  if (tree.kind == Tree::kCat || tree.kind == Tree::kOr) {
    for (int i = 0; i < 2 + pick(2); ++i) {
      tree.parts.push_back(RandomTree(random, depth - 1, anchors));
    }
  }
  return tree;
}

TEST(ParseRegex, MatchesWhatTryingEverythingMatches) {
  std::vector<std::string> texts{""};
  for (size_t i = 0; texts[i].size() < 5; ++i) {
    for (const char c : {'a', 'b', 'c'}) texts.push_back(texts[i] + c);
  }
  std::mt19937 random(20260822);
  for (int i = 0; i < 400; ++i) {
    const Tree tree = RandomTree(&random, 4, true);
    const std::string pattern = Write(tree);
    for (const RegexDialect dialect : {RegexDialect::kEcma, RegexDialect::kUnicode}) {
      RegexPool pool{Limits{}};
      const Regex whole = ParseRegex(pattern, dialect, false, Limits{}, &pool);
      const Regex search = ParseRegex(pattern, dialect, true, Limits{}, &pool);
      for (const std::string& text : texts) {
        const std::u32string decoded(text.begin(), text.end());
        Places all;
        for (size_t at = 0; at <= text.size(); ++at) all.insert(at);
        ASSERT_EQ(pool.Matches(whole, decoded), Reach(tree, text, {0}).contains(text.size()))
            << pattern << " is " << text;
        ASSERT_EQ(pool.Matches(search, decoded), !Reach(tree, text, all).empty())
            << pattern << " in " << text;
      }
    }
  }
}

TEST(RegexPool, CountsTheStringsThatItLists) {
  std::mt19937 random(20260823);
  int num_finite = 0;
  for (int i = 0; i < 400; ++i) {
    const std::string pattern = Write(RandomTree(&random, 3, true));
    RegexPool pool{Limits{}};
    const Regex r = ParseRegex(pattern, RegexDialect::kUnicode, false, Limits{}, &pool);
    constexpr uint64_t kLimit = 2000;
    std::vector<std::u32string> strings;
    const uint64_t count = pool.Count(r, kLimit, &strings);
    EXPECT_EQ(pool.Count(r, count, nullptr), count) << pattern;
    if (count == kLimit) continue;
    ++num_finite;
    const std::set<std::u32string> distinct(strings.begin(), strings.end());
    EXPECT_EQ(strings.size(), count) << pattern;
    EXPECT_EQ(distinct.size(), count) << pattern;
    for (const std::u32string& text : strings) EXPECT_TRUE(pool.Matches(r, text)) << pattern;
    // And no others: without them, nothing is left.
    std::vector<NamedString> names;
    for (const std::u32string& text : distinct) names.push_back({text, 0});
    EXPECT_TRUE(pool.IsEmpty(pool.And(r, pool.Not(pool.Names(names))))) << pattern;
  }
  EXPECT_GT(num_finite, 100);
  RegexPool pool{Limits{}};
  const auto count = [&](const char* pattern) {
    return pool.Count(ParseRegex(pattern, RegexDialect::kUnicode, false, Limits{}, &pool), 4096,
                      nullptr);
  };
  EXPECT_EQ(count("[a-z0-9][a-z0-9+]+"), 4096);
  EXPECT_EQ(count("[a-d]{0,5}x"), 1 + 4 + 16 + 64 + 256 + 1024);
  EXPECT_EQ(count("[a-d]{0,6}x"), 4096);
  EXPECT_EQ(count("[\\uD7F0-\\uE00F]?"), 1 + 16 + 16);
}

TEST(RegexPool, SetsOfNamesShareWhatIsLeftOfThem) {
  RegexPool pool{Limits{}};
  const Regex one = pool.Names({{U"ab", 40}, {U"acd", 41}, {U"b", 42}});
  const Regex other = pool.Names({{U"c", 43}, {U"acd", 41}, {U"ab", 40}});
  const Regex relabelled = pool.Names({{U"ab", 44}, {U"acd", 41}});
  EXPECT_NE(one, other);
  EXPECT_EQ(pool.Derive(one, 'a'), pool.Derive(other, 'a'));
  EXPECT_NE(pool.Derive(one, 'a'), pool.Derive(relabelled, 'a'));
  EXPECT_EQ(pool.Names({{U"b", 42}, {U"acd", 41}, {U"ab", 40}}), one);
  RegexPool copy{Limits{}};
  const std::vector<Regex> copies = copy.Copy(pool, std::vector<Regex>{one, other});
  EXPECT_TRUE(copy.Matches(copies[0], U"b") && copy.Matches(copies[1], U"c"));
  EXPECT_FALSE(copy.Matches(copies[0], U"c"));
  EXPECT_EQ(copy.Derive(copies[0], 'a'), copy.Derive(copies[1], 'a'));
}

}  // namespace
}  // namespace retort::grammar
