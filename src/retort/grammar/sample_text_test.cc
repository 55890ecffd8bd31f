#include "retort/grammar/sample_text.h"

#include <gtest/gtest.h>

#include "retort/grammar/text_check.h"

namespace retort {
namespace {

TEST(TextSampler, WritesTextsOfTheLanguage) {
  const std::shared_ptr<const Grammar> grammars[] = {
      CompileRegex("[a-c]{2,9}x|\\d+"),
      CompileGbnf("root ::= \"(\" root \")\" root | \"a\" | \"\"\n"),
      CompileJsonSchema(R"({"type": "object", "required": ["a"], "properties": {"a": {"type":
          "array", "minItems": 2, "items": {"multipleOf": 3}}}, "not": {"required": ["b"]}})"),
      CompileJsonSchema("true"),
  };
  for (const auto& grammar : grammars) {
    const TextSampler sampler(grammar);
    for (uint64_t seed = 0; seed < 50; ++seed) {
      const auto text = sampler.Sample(seed, 60);
      ASSERT_TRUE(text.has_value());
      EXPECT_TRUE(CheckText(*grammar, *text).accepted) << *text;
      EXPECT_EQ(sampler.Sample(seed, 60), text);
    }
    EXPECT_NE(sampler.Sample(1), sampler.Sample(2));
  }
}

}  // namespace
}  // namespace retort
