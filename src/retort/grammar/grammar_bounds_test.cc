// Each named bound of this room from below, at it, and beyond it.
#include <gmock/gmock.h>

#include <functional>

#include "retort/base/error.h"
#include "retort/grammar/grammar.h"
#include "retort/grammar/text_check.h"

namespace retort::grammar {
namespace {

std::string Repeated(size_t n, const std::string& part, const std::string& between = "") {
  std::string all;
  for (size_t i = 0; i < n; ++i) all += (i == 0 ? "" : between) + part;
  return all;
}

// "#" is the number of each.
std::string Numbered(size_t n, const std::string& part, const std::string& between = ",") {
  std::string all;
  for (size_t i = 0; i < n; ++i) {
    std::string one = part;
    for (size_t at; (at = one.find('#')) != std::string::npos;) {
      one.replace(at, 1, std::to_string(i));
    }
    all += (i == 0 ? "" : between) + one;
  }
  return all;
}

struct Bound {
  const char* name;
  size_t most;
  ErrorCode beyond;
  std::function<void(size_t)> compile;
};

TEST(Bounds, OfWhatIsCompiled) {
  constexpr auto kExhausted = ErrorCode::kExhausted;
  constexpr auto kUnsupported = ErrorCode::kUnsupported;
  const Limits limits;
  const auto schema = [](const std::string& text) { CompileJsonSchema(text); };
  const Bound bounds[] = {
      {"kPrefixMax", 1024, kExhausted,
       [&](size_t n) { schema(R"({"prefixItems":[)" + Repeated(n, "{}", ",") + "]}"); }},
      {"kObligationsMax of arrays", 4, kExhausted,
       [&](size_t n) {
         schema(R"({"type":"array","allOf":[)" + Numbered(n, R"({"contains":{"const":#}})") + "]}");
       }},
      {"kObligationsMax of objects", 4, kExhausted,
       [&](size_t n) {
         schema(R"({"type":"object","allOf":[)" +
                Numbered(n, R"({"not":{"patternProperties":{"^#":{"type":"null"}}}})") + "]}");
       }},
      {"kKeyClassesMax", 23, kExhausted,  // and those that no pattern names
       [&](size_t n) {
         schema(R"({"type":"object","patternProperties":{)" + Numbered(n, R"("^#x":{"const":#})") +
                "}}");
       }},
      {"kTrackedMax", 6, kUnsupported,
       [&](size_t n) {
         schema(R"({"type":"object","unevaluatedProperties":false,"anyOf":[)" +
                Numbered(n, R"({"properties":{"p#":{}}})") + "]}");
       }},
      {"depth_max of schemas", static_cast<size_t>(limits.depth_max), kExhausted,
       [&](size_t n) {
         schema(R"({"examples":)" + Repeated(n - 1, "[") + Repeated(n - 1, "]") + "}");
       }},
      {"depth_max of groups", static_cast<size_t>(limits.depth_max), kExhausted,
       [](size_t n) { CompileRegex(Repeated(n, "(") + "a" + Repeated(n, ")")); }},
      {"depth_max of a GBNF's groups", static_cast<size_t>(limits.depth_max), kExhausted,
       [](size_t n) { CompileGbnf("root ::= " + Repeated(n, "(") + "\"a\"" + Repeated(n, ")")); }},
      {"depth_max of a Lark's groups", static_cast<size_t>(limits.depth_max), kExhausted,
       [](size_t n) { CompileLark("start: " + Repeated(n, "(") + "\"a\"" + Repeated(n, ")")); }},
      {"kRepeatsOfRulesMax", 1000, kExhausted,
       [](size_t n) {
         CompileGbnf("root ::= (\"(\" root? \")\"){0," + std::to_string(n) + "} \"x\"");
       }},
      {"kSubstringPartsMax", 20'000, kExhausted,
       [](size_t n) {
         CompileLark("start: %regex {\"substring_chars\": \"" + std::string(n, 'a') + "\"}");
       }},
      {"text_bytes_max of a pattern", 4096, kExhausted,
       [](size_t n) {
         // Flags cost nothing but their bytes.
         CompileRegex("(?i)" + std::string(n - 5, ' ') + "a", {.text_bytes_max = 4096});
       }},
  };
  for (const Bound& bound : bounds) {
    for (const size_t n : {bound.most - 1, bound.most}) {
      EXPECT_NO_THROW(bound.compile(n)) << bound.name << " " << n;
    }
    try {
      bound.compile(bound.most + 1);
      ADD_FAILURE() << bound.name << ": not refused beyond " << bound.most;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), bound.beyond) << bound.name << ": " << error.message();
    }
  }
}

TEST(Bounds, OfTheTextsThatAreAllowed) {
  const auto list = CompileJsonSchema(R"({"type":"array","items":{"const":1}})");
  const auto number = CompileJsonSchema(R"({"type":"number","minimum":1})");
  const auto after = [](const std::string& blanks) { return "[" + blanks + "1]"; };
  const auto digits = [](size_t n) { return "1." + std::string(n, '1') + "e2"; };
  const std::pair<std::string, bool> cases[] = {
      {after(std::string(31, ' ')), true},
      {after(std::string(32, ' ')), true},  // kWhitespaceSpacesMax
      {after(std::string(33, ' ')), false},
      {after("\n" + std::string(32, ' ')), true},
      {after("\n" + std::string(33, ' ')), false},
      {after("\n\n"), false},
  };
  for (const auto& [text, is_accepted] : cases) {
    EXPECT_EQ(CheckText(*list, text).accepted, is_accepted) << text;
  }
  EXPECT_TRUE(CheckText(*number, digits(16)).accepted);
  EXPECT_TRUE(CheckText(*number, digits(17)).accepted);  // kFractionDigitsMax
  EXPECT_FALSE(CheckText(*number, digits(18)).accepted);
  EXPECT_TRUE(CheckText(*number, "1e9999").accepted);
  EXPECT_FALSE(CheckText(*number, "1e10000").accepted);
  EXPECT_THROW(CompileJsonSchema(R"({"multipleOf":20001})"), Error);  // kDivisorMax
  EXPECT_THROW(CompileJsonSchema(R"({"maximum":1e-10000})"), Error);  // kExponentMax
}

// A pattern of so few keys names them; of more it is a class. Both forbid what does not match.
TEST(Bounds, OfKeysThatAPatternNames) {
  for (const int n : {63, 64, 65}) {  // kNamesFromPatternMax
    const auto grammar = CompileJsonSchema(
        R"({"type":"object","additionalProperties":false,"patternProperties":{"^x{1,)" +
        std::to_string(n) + R"(}$":{"const":1}}})");
    const auto object = [](size_t length) { return "{\"" + std::string(length, 'x') + "\":1}"; };
    EXPECT_TRUE(CheckText(*grammar, object(1)).accepted) << n;
    EXPECT_TRUE(CheckText(*grammar, object(static_cast<size_t>(n))).accepted) << n;
    EXPECT_FALSE(CheckText(*grammar, object(static_cast<size_t>(n) + 1)).accepted) << n;
    EXPECT_FALSE(CheckText(*grammar, "{\"x\":1,\"x\":1}").accepted) << n;
  }
}

}  // namespace
}  // namespace retort::grammar
