// Masks over the Llama-3 vocabulary against trying each of its 128,256 tokens.
#include "retort/grammar/mask_check.h"
#include "retort/tokenizer/load_tokenizer.h"

namespace retort::grammar {
namespace {

TEST(RealVocabulary, MasksEqualBruteForce) {
  const auto file = SharedData() / "tokenizers/llama3/tokenizer.model";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "../shared/data/tokenizers is absent";
  const auto tokenizer = LoadTiktoken(
      ReadFile(file, 64u << 20), R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+)",
      {{"<|end_of_text|>", 128000}, {"<|eot_id|>", 128001}, {"<|python_tag|>", 128002}}, "llama3");
  const auto vocabulary = MakeVocabulary(tokenizer);
  uint32_t seed = 0;
  for (
      const char* schema :
      {R"({"type":"object","properties":{"name":{"type":"string","maxLength":7},"n":{"type":"integer","maximum":99}},"required":["name"]})",
       R"({"type":"array","items":{"type":"string","pattern":"^(?:\\S+\\s+){0,9}\\S+$","maxLength":30}})",
       R"({"type":"object","additionalProperties":{"type":"string"}})",
       R"({"type":"array","items":{"type":"string","oneOf":[{"pattern":"ing"},{"pattern":"er"},{"pattern":"str"}]}})",
       R"({"type":"string","minLength":3,"maxLength":40})",
       R"({"type":"array","items":{"enum":["red","green","blue"]},"uniqueItems":true})"}) {
    SCOPED_TRACE(schema);
    CheckMasks(Constraint(CompileJsonSchema(schema), vocabulary), ++seed, 1, 3);
  }
  CheckMasks(Constraint(CompileRegex("[a-z0-9_-]{3,9}(@[a-z]+)?"), vocabulary), 9, 1, 3);
}

}  // namespace
}  // namespace retort::grammar
