// Masks over the Llama-3 vocabulary against trying each of its 128,256 tokens.
#include "retort/grammar/mask_check.h"

namespace retort::grammar {
namespace {

TEST(RealVocabulary, MasksEqualBruteForce) {
  const auto vocabulary = Llama3Vocabulary();
  if (vocabulary == nullptr) GTEST_SKIP() << "../shared/data/tokenizers is absent";
  uint32_t seed = 0;
  for (
      const char* schema :
      {R"({"type":"object","properties":{"name":{"type":"string","maxLength":7},"n":{"type":"integer","maximum":99}},"required":["name"]})",
       R"({"type":"array","items":{"type":"string","pattern":"^(?:\\S+\\s+){0,9}\\S+$","maxLength":30}})",
       R"({"type":"object","additionalProperties":{"type":"string"}})",
       R"({"type":"array","items":{"type":"string","oneOf":[{"pattern":"ing"},{"pattern":"er"},{"pattern":"str"}]}})",
       R"({"type":"string","minLength":3,"maxLength":40})",
       R"({"type":"array","items":{"type":"string","pattern":"^[\\s\\S]{3}x"}})",
       R"({"type":"array","items":{"type":"string","pattern":"^[\\s\\S]{4}x","maxLength":9}})",
       R"({"type":"array","items":{"enum":["red","green","blue"]},"uniqueItems":true})"}) {
    SCOPED_TRACE(schema);
    CheckMasks(Constraint(CompileJsonSchema(schema), vocabulary), ++seed, 1, 3);
  }
  CheckMasks(Constraint(CompileRegex("[a-z0-9_-]{3,9}(@[a-z]+)?"), vocabulary), 9, 1, 3);
}

// Tokens below which whatever follows is safe may still hold what no JSON string may: a line feed
// within, an escape that is none, bytes that are no UTF-8.
TEST(RealVocabulary, SafeStringsHoldNothingThatStringsMayNot) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(std::string(1, static_cast<char>(byte)));
  for (const char* text :
       {"ab", "abc", "abd", "abe", "ab\n", "ab\xFF", "zz", "zz\\q", "zza", "zzb"}) {
    tokens.push_back(text);
  }
  // So many that the others are few, among which tokens are listed instead of cleared.
  for (int i = 0; i < 400; ++i) tokens.push_back("\n" + std::to_string(i));
  tokens.push_back("<end>");
  const auto end = static_cast<int32_t>(tokens.size()) - 1;
  const auto vocabulary = std::make_shared<const Vocabulary>(std::move(tokens), std::vector{end});
  for (const char* schema : {R"({"type":"string","pattern":"^[\\s\\S]{2}x"})",
                             R"({"type":"string","pattern":"^[\\s\\S]{3}x"})",
                             R"({"type":"string","pattern":"^[\\s\\S]{4}x"})",
                             R"({"type":"string","pattern":"^[\\s\\S]{7}x"})",
                             R"({"type":"string","pattern":"^[\\s\\S]{3}x","maxLength":9})"}) {
    SCOPED_TRACE(schema);
    const Constraint constraint(CompileJsonSchema(schema), vocabulary);
    ConstraintState state = constraint.Start();
    ASSERT_TRUE(state.Commit('"'));
    std::vector<int32_t> allowed;
    CheckMask(state, *vocabulary, "\"", &allowed);
  }
}

}  // namespace
}  // namespace retort::grammar
