#include "retort/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/test_data.h"
#include "retort/tokenizer/token_stream.h"
#include "retort/tokenizer/utf8.h"

namespace retort {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Bytes as a byte-level vocabulary spells them: the printable ones as they are, the others from
// U+0100 on.
std::string ByteLevelSpelling(int byte) {
  std::string out;
  if ((byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE) {
    AppendUtf8(static_cast<char32_t>(byte), &out);
    return out;
  }
  int rank = 0;
  for (int b = 0; b < byte; ++b) {
    rank += !((b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE);
  }
  AppendUtf8(static_cast<char32_t>(0x100 + rank), &out);
  return out;
}

// Ids 0..255 are the bytes, 256 "<s>", 257 "</s>", then "he" "ll" "hell" "hello"; 262 "  " added.
Json ByteLevelGguf() {
  Json tokens = Json::array();
  Json types = Json::array();
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(ByteLevelSpelling(byte));
    types.push_back(1);
  }
  for (const char* text : {"<s>", "</s>"}) {
    tokens.push_back(text);
    types.push_back(3);
  }
  for (const char* text : {"he", "ll", "hell", "hello"}) {
    tokens.push_back(text);
    types.push_back(1);
  }
  tokens.push_back("  ");
  types.push_back(4);
  return Json{{"tokenizer.ggml.model", "gpt2"},
              {"tokenizer.ggml.pre", "gpt-2"},
              {"tokenizer.ggml.tokens", tokens},
              {"tokenizer.ggml.token_type", types},
              {"tokenizer.ggml.merges", {"h e", "l l", "he ll", "hell o"}},
              {"tokenizer.ggml.bos_token_id", 256},
              {"tokenizer.ggml.eos_token_id", 257},
              {"tokenizer.ggml.add_bos_token", true}};
}

// Ids: 0 <unk>, 1 <s>, 2 </s>, 3..258 the bytes, then "▁" "h" "i" "▁h" "▁hi".
Json SentencePieceGguf() {
  Json tokens = {"<unk>", "<s>", "</s>"};
  Json types = {2, 3, 3};
  Json scores = {0.0, 0.0, 0.0};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(fmt::format("<0x{:02X}>", byte));
    types.push_back(6);
    scores.push_back(0.0);
  }
  double score = 0;
  for (const char* text : {"▁", "h", "i", "▁h", "▁hi"}) {
    tokens.push_back(text);
    types.push_back(1);
    scores.push_back(score -= 1);
  }
  return Json{{"tokenizer.ggml.model", "llama"},     {"tokenizer.ggml.tokens", tokens},
              {"tokenizer.ggml.token_type", types},  {"tokenizer.ggml.scores", scores},
              {"tokenizer.ggml.bos_token_id", 1},    {"tokenizer.ggml.eos_token_id", 2},
              {"tokenizer.ggml.unknown_token_id", 0}};
}

TEST(Tokenizer, MergesByRankAndKnowsItsIds) {
  const auto tokenizer = TokenizerFromGguf(ByteLevelGguf(), "test");
  EXPECT_THAT(tokenizer->Encode("hello", false), ElementsAre(261));
  EXPECT_THAT(tokenizer->Encode("hello hello", false), ElementsAre(261, 32, 261));
  EXPECT_THAT(tokenizer->Encode("he  llo", false), ElementsAre(258, 262, 259, 'o'));
  EXPECT_EQ(tokenizer->vocab_size(), 263);
  EXPECT_EQ(tokenizer->TokenBytes(261), "hello");
  EXPECT_EQ(tokenizer->TokenBytes(0xE4), "\xE4");
  EXPECT_EQ(tokenizer->IdOf("</s>"), 257);
  EXPECT_EQ(tokenizer->IdOf("hell"), 260);
  EXPECT_EQ(tokenizer->IdOf("nothing"), std::nullopt);
  EXPECT_EQ(tokenizer->bos_id(), 256);
  EXPECT_THAT(tokenizer->prefix_ids(), ElementsAre(256));
  EXPECT_THAT(tokenizer->end_ids(), ElementsAre(257));
  EXPECT_TRUE(tokenizer->AddsBos());
  EXPECT_FALSE(tokenizer->AddsEos());
  EXPECT_TRUE(tokenizer->IsSpecial(256));
  EXPECT_FALSE(tokenizer->IsSpecial(262));
  EXPECT_FALSE(tokenizer->IsControl(262));
  EXPECT_THROW(tokenizer->TokenBytes(263), Error);
  EXPECT_THROW(tokenizer->TokenBytes(-1), Error);
}

TEST(Tokenizer, ContentNeverYieldsControlTokens) {
  const auto tokenizer = TokenizerFromGguf(ByteLevelGguf(), "test");
  const auto encode = [&](std::vector<TextPiece> pieces) { return tokenizer->Encode(pieces); };
  EXPECT_THAT(encode({{"<s>", true}, {"hello", false}, {"</s>", true}}),
              ElementsAre(256, 261, 257));
  // Written in content, or put together from content and template, it is text.
  EXPECT_THAT(encode({{"<s>", true}, {"</s>", false}}), ElementsAre(256, '<', '/', 's', '>'));
  EXPECT_THAT(encode({{"</", true}, {"s>", false}}), ElementsAre('<', '/', 's', '>'));
  EXPECT_THAT(encode({{"<", false}, {"/s>", true}}), ElementsAre('<', '/', 's', '>'));
  // Two pieces of the template are one template; empty content between them changes nothing.
  EXPECT_THAT(encode({{"</", true}, {"", false}, {"s>", true}}), ElementsAre(257));
  // Words and added tokens that are no control tokens span pieces.
  EXPECT_THAT(encode({{"he", true}, {"llo ", false}, {" ", true}}), ElementsAre(261, 262));
  // The same through SentencePiece, whose vocabulary lists "<s>" as a piece.
  const auto pieces = TokenizerFromGguf(SentencePieceGguf(), "test");
  const auto content = pieces->Encode("<s></s><unk><0x41>", false);
  for (int32_t id : content) EXPECT_FALSE(pieces->IsControl(id)) << id;
  EXPECT_EQ(pieces->Decode(content, false), "<s></s><unk><0x41>");
}

TEST(Tokenizer, SentencePieceSpacesAndBytes) {
  const auto tokenizer = TokenizerFromGguf(SentencePieceGguf(), "test");
  EXPECT_THAT(tokenizer->Encode("hi hi", false), ElementsAre(263, 263));
  EXPECT_THAT(tokenizer->Encode("hé", false), ElementsAre(262, 3 + 0xC3, 3 + 0xA9));
  EXPECT_THAT(tokenizer->Encode("", true), ElementsAre());
  EXPECT_THAT(tokenizer->Encode("<s>hi", true), ElementsAre(1, 263));
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{1, 263, 263}, true), "hi hi");
  EXPECT_EQ(tokenizer->TokenBytes(263), " hi");
  EXPECT_EQ(tokenizer->TokenBytes(3 + '\n'), "\n");
  EXPECT_TRUE(tokenizer->AddsBos());  // what files of this kind mean when they do not say
}

TEST(Tokenizer, TextThatIsNotUtf8IsEncodedWithReplacements) {
  const auto tokenizer = TokenizerFromGguf(ByteLevelGguf(), "test");
  for (const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"a\xFFz", "a\xEF\xBF\xBDz"},
           {"\xE4\xBD", "\xEF\xBF\xBD"},              // cut off: one maximal subpart
           {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},  // overlong
           {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},  // surrogate
           {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}}) {
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, true), false), expected);
  }
  // Halves of a character in two pieces stay two faults: pieces are texts of their own.
  const std::vector<TextPiece> halves = {{"\xC3", true}, {"\xA9", false}};
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(halves), false), "\xEF\xBF\xBD\xEF\xBF\xBD");
}

// The two merge loops, by length of word, give the same: a long word of one pattern repeated with
// separators that no merge crosses equals its parts.
TEST(Tokenizer, LongWordsMergeLikeShortOnes) {
  const auto tokenizer = TokenizerFromGguf(ByteLevelGguf(), "test");
  std::string text;
  std::vector<int32_t> expected;
  uint64_t state = 1;
  while (text.size() < 5000) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    constexpr std::string_view kParts[] = {"hello", "hell", "he", "ll", "l", "x", "ohel"};
    const std::string part = std::string(kParts[(state >> 33) % 7]) + "z";
    text += part;
    const auto ids = tokenizer->Encode(part, false);
    expected.insert(expected.end(), ids.begin(), ids.end());
  }
  EXPECT_EQ(tokenizer->Encode(text, false), expected);
}

TEST(TokenStream, HoldsBackUnfinishedCharacters) {
  const auto tokenizer = TokenizerFromGguf(ByteLevelGguf(), "test");
  TokenStream stream(tokenizer, true, true);
  EXPECT_EQ(stream.Push(0xE4), "");
  EXPECT_EQ(stream.Push(0xBD), "");
  EXPECT_EQ(stream.Push(0xA0), "\xE4\xBD\xA0");
  EXPECT_EQ(stream.Push(256), "");  // special
  EXPECT_EQ(stream.Push(0xF0), "");
  EXPECT_EQ(stream.Push('a'),
            "\xEF\xBF\xBD"
            "a");  // it can no longer become a character
  EXPECT_EQ(stream.Push(0xF0), "");
  EXPECT_EQ(stream.Finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.Finish(), "");
}

TEST(TokenStream, LeadingSpace) {
  const auto tokenizer = TokenizerFromGguf(SentencePieceGguf(), "test");
  TokenStream start(tokenizer, true, true);
  EXPECT_EQ(start.Push(1), "");
  EXPECT_EQ(start.Push(263), "hi");
  EXPECT_EQ(start.Push(263), " hi");
  TokenStream later(tokenizer, true, false);
  EXPECT_EQ(later.Push(263), " hi");
}

// Any ids, in any order: the deltas are valid UTF-8 and joined they are Decode.
TEST(TokenStream, DeltasJoinToDecode) {
  for (const Json& file : {ByteLevelGguf(), SentencePieceGguf()}) {
    const auto tokenizer = TokenizerFromGguf(file, "test");
    uint64_t state = 7;
    for (int round = 0; round < 300; ++round) {
      std::vector<int32_t> ids;
      TokenStream stream(tokenizer, round % 2 == 0, true);
      std::string joined;
      for (int i = 0; i < 40; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        ids.push_back(static_cast<int32_t>((state >> 33) % tokenizer->vocab_size()));
        const std::string delta = stream.Push(ids.back());
        ASSERT_TRUE(IsUtf8(delta));
        joined += delta;
      }
      joined += stream.Finish();
      ASSERT_EQ(joined, tokenizer->Decode(ids, round % 2 == 0));
    }
  }
}

// One change to a good file -> the code and a part of the message.
struct BrokenGguf {
  std::string key;
  Json value;  // null: leave the key out
  ErrorCode code;
  std::string message;
};

TEST(TokenizerFromGguf, RefusesWhatIsBroken) {
  const std::vector<BrokenGguf> cases = {
      {"model", nullptr, ErrorCode::kUnsupported, "tokenizer.ggml.model is \"\""},
      {"model", "bert", ErrorCode::kUnsupported, "\"bert\""},
      {"model", 3, ErrorCode::kInvalid, "must be a string, found number"},
      {"pre", "gpt-3", ErrorCode::kUnsupported, "the nearest that is: \"gpt-2\""},
      {"tokens", nullptr, ErrorCode::kInvalid, "tokens is missing"},
      {"tokens", Json::array(), ErrorCode::kInvalid, "tokens is empty"},
      {"tokens", "x", ErrorCode::kInvalid, "must be an array"},
      {"token_type", {1, 2}, ErrorCode::kCorrupt, "2 entries for 263 tokens"},
      {"merges", nullptr, ErrorCode::kInvalid, "merges is missing"},
      {"merges", {"he llo"}, ErrorCode::kCorrupt, "its right part is not a token"},
      {"merges", {"h l"}, ErrorCode::kCorrupt, "its result is not a token"},
      {"merges", {"hell"}, ErrorCode::kCorrupt, "expected two tokens"},
      {"merges", {""}, ErrorCode::kCorrupt, "expected two tokens"},
      {"merges", {7}, ErrorCode::kInvalid, "merges[0] must be a string"},
      {"bos_token_id", 263, ErrorCode::kInvalid, "outside the vocabulary [0, 263)"},
      {"bos_token_id", -7, ErrorCode::kInvalid, "outside the vocabulary"},
      {"eos_token_id", "x", ErrorCode::kInvalid, "must be a token id"},
      {"add_bos_token", 1, ErrorCode::kInvalid, "must be true or false"},
  };
  for (const BrokenGguf& one : cases) {
    SCOPED_TRACE(one.message);
    Json file = ByteLevelGguf();
    const std::string key = "tokenizer.ggml." + one.key;
    if (one.value.is_null()) {
      file.erase(key);
    } else {
      file[key] = one.value;
    }
    try {
      TokenizerFromGguf(file, "test");
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), one.code);
      EXPECT_THAT(error.message(), HasSubstr(one.message));
    }
  }
}

TEST(TokenizerFromGguf, RefusesScoresThatAreNoNumbers) {
  Json file = SentencePieceGguf();
  file["tokenizer.ggml.scores"][260] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(TokenizerFromGguf(file, "test"), Error);
  file["tokenizer.ggml.scores"][260] = "high";
  EXPECT_THROW(TokenizerFromGguf(file, "test"), Error);
}

}  // namespace
}  // namespace retort
