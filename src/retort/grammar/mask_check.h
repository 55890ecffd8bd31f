#pragma once

// Helpers of this room's tests: masks by brute force, and texts fed token by token.

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "retort/base/file.h"
#include "retort/base/shared_data_test.h"
#include "retort/grammar/constraint.h"
#include "retort/grammar/vocabulary.h"
#include "retort/tokenizer/load_tokenizer.h"

namespace retort::grammar {

// Every byte, and every pair and some triples over the bytes that grammars like: small, nasty.
inline std::shared_ptr<const Vocabulary> SmallVocabulary() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(std::string(1, static_cast<char>(byte)));
  const std::string_view common = "\"{}[],: \n\\ua0b1.-eE";
  for (const char a : common) {
    for (const char b : common) {
      tokens.push_back({a, b});
      for (const char c : std::string_view("\"},:a")) tokens.push_back({a, b, c});
    }
  }
  for (const char* text :
       {"\":\"\",\"", "\",\"a\":", "true",    "false,",  "null}", "\xC3\xA9",       "\xE2\x82",
        "\xAC\"",     "\\u00",     "\\ud83d", "\\ude00", "name",  "\"name\":",      "abc",
        "12345",      "\":{\"",    "}}}",     "]]",      "e+1",   "a\",\"b\":1,\"a"}) {
    tokens.push_back(text);
  }
  tokens.push_back("<end>");
  tokens.push_back("<stop>");
  const auto size = static_cast<int32_t>(tokens.size());
  return std::make_shared<const Vocabulary>(std::move(tokens),
                                            std::vector<int32_t>{size - 2, size - 1});
}

// Llama 3's; null where the shared data is absent.
inline std::shared_ptr<const Vocabulary> Llama3Vocabulary() {
  const auto file = SharedData() / "tokenizers/llama3/tokenizer.model";
  if (!std::filesystem::exists(file)) return nullptr;
  return MakeVocabulary(LoadTiktoken(
      ReadFile(file, 64u << 20), R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+)",
      {{"<|end_of_text|>", 128000}, {"<|eot_id|>", 128001}, {"<|python_tag|>", 128002}}, "llama3"));
}

// Feeds as much of the text as is allowed, one byte at a time; whether that was all.
inline bool Feed(const Vocabulary& vocabulary, std::string_view text, ConstraintState* state) {
  for (const char c : text) {
    int32_t id = 0;
    while (id < vocabulary.size() && vocabulary.Text(id) != std::string_view(&c, 1)) ++id;
    if (id == vocabulary.size() || !state->Commit(id)) return false;
  }
  return true;
}

// Whether the text is in the language.
inline bool Accepts(const Constraint& constraint, std::string_view text) {
  ConstraintState state = constraint.Start();
  return Feed(constraint.vocabulary(), text, &state) && state.IsComplete();
}

// Compares a state's mask with trying every token; gives those that are allowed.
inline void CheckMask(const ConstraintState& state, const Vocabulary& vocabulary,
                      std::string_view text, std::vector<int32_t>* allowed) {
  std::vector<uint32_t> bits(vocabulary.num_mask_words());
  state.Mask(bits);
  allowed->clear();
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const bool by_mask = bits[id >> 5] >> (id & 31) & 1;
    ASSERT_EQ(by_mask, state.Allows(id))
        << "after \"" << text << "\", token " << id << " \"" << vocabulary.Text(id) << "\"";
    if (by_mask) allowed->push_back(id);
  }
}

// CheckMask at each state of a random walk through the grammar.
inline void CheckMasks(const Constraint& constraint, uint32_t seed, int num_walks, int num_steps) {
  const Vocabulary& vocabulary = constraint.vocabulary();
  std::mt19937 random(seed);
  std::vector<int32_t> allowed;
  for (int walk = 0; walk < num_walks; ++walk) {
    ConstraintState state = constraint.Start();
    std::string text;
    for (int step = 0; step < num_steps; ++step) {
      CheckMask(state, vocabulary, text, &allowed);
      if (testing::Test::HasFatalFailure()) return;
      ASSERT_FALSE(allowed.empty() && !state.IsFinished()) << "dead end after \"" << text << '"';
      if (allowed.empty()) break;
      // Long tokens are as likely as short ones.
      const int32_t id = allowed[random() % allowed.size()];
      ASSERT_TRUE(state.Commit(id));
      text += vocabulary.Text(id);
      if (state.IsFinished()) break;
    }
  }
}

}  // namespace retort::grammar
