#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>
#include <string>

#include "tests/tidy/source_tree.h"

// A bound is a promise: what is at it works, what is beyond it is refused. So each that a header
// names is named by a test as well.
namespace retort {
namespace {

// Bounds of which no test speaks, with the reason. The list only gets shorter.
const std::map<std::string, std::string> kWithoutTest = {
    {"kBytesMax",
     "grammar: a text that is longer is not looked for; memory is looked at from time to time"},
    {"kCallsMax", "grammar: gives up looking for a short text"},
    {"kCodePointMax", "Unicode's own"},
    {"kForcedBytesMax", "grammar: what is longer is forced in the next step"},
    {"kFusedRowsMax", "backend: beyond it another kernel gives the same bits"},
    {"kHeadDimMax", "no test yet"},
    {"kInt16CodeMax", "backend: a range of codes, not of inputs"},
    {"kInt16HeadDimMax", "backend: beyond it another kernel is taken"},
    {"kItemsMax", "grammar: gives up looking for a short text"},
    {"kJsonFileBytesMax", "a file of 1 GiB"},
    {"kKnownMax", "pipeline: what is forgotten is compiled again"},
    {"kLexStatesMax", "grammar: gives up looking for a short text"},
    {"kMaskBytesMax", "grammar: masks beyond it are computed again"},
    {"kNumMax", "chat: the most parameters of a filter written here"},
    {"kRenderBytesMax", "chat: 256 MiB; tests give a render less by RenderOptions"},
    {"kRenderDepthMax", "no test yet"},
    {"kRenderStepsMax", "no test yet"},
    {"kRenderTextBytesMax", "no test yet"},
    {"kSafeLengthMax", "grammar: beyond it a slower way gives the same language"},
    {"kStateDimMax", "backend: beyond it another kernel is taken"},
    {"kTextFileBytesMax", "a file of 256 MiB"},
    {"kTileRowsMax", "backend: beyond it rows are cut into tiles, with the same bits"},
};

// inline constexpr ... kNameMax = ...; also as a member of a class.
std::map<std::string, std::string> BoundsOfHeaders() {
  const std::regex bound(R"((?:inline|static) constexpr [\w:]+ (k\w*Max)\b)");
  std::map<std::string, std::string> bounds;  // name → where
  for (const fs::path& file : CodeFiles({"src"})) {
    if (file.extension() != ".h" || file.stem().string().ends_with("_test")) continue;
    int number = 0;
    for (const std::string& line : ReadLines(kRoot / file)) {
      ++number;
      std::smatch match;
      if (std::regex_search(line, match, bound)) {
        bounds[match[1]] = file.string() + ":" + std::to_string(number);
      }
    }
  }
  return bounds;
}

TEST(Bounds, EachIsNamedByATest) {
  std::set<std::string> tested;
  const std::regex name(R"(\bk\w+Max\b)");
  for (const fs::path& file : CodeFiles({"src", "tests"})) {
    const std::string stem = file.stem().string();
    if (file.string().starts_with("src/") && !stem.ends_with("_test")) continue;
    if (stem == "bounds_test") continue;
    const std::string text = ReadWhole(kRoot / file);
    for (std::sregex_iterator at(text.begin(), text.end(), name), end; at != end; ++at) {
      tested.insert(at->str());
    }
  }
  const std::map<std::string, std::string> bounds = BoundsOfHeaders();
  EXPECT_GE(bounds.size(), 50u);
  for (const auto& [bound, where] : bounds) {
    const bool excused = kWithoutTest.contains(bound);
    EXPECT_TRUE(tested.contains(bound) || excused)
        << where << ": no test names " << bound << ": try what is at it and what is beyond it";
    EXPECT_FALSE(tested.contains(bound) && excused)
        << where << ": a test names " << bound << ": take it off the list of this test";
  }
  for (const auto& [bound, reason] : kWithoutTest) {
    EXPECT_TRUE(bounds.contains(bound)) << bound << " is no bound any more: take it off the list";
  }
}

}  // namespace
}  // namespace retort
