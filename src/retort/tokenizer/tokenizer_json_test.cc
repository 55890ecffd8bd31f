#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/test_data.h"
#include "retort/tokenizer/token_stream.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAreArray;

// tests/golden/tokenizer_json: one small tokenizer per kind of stage, with the ids of Hugging
// Face's own library (make_tokenizer_goldens.py). Ids must be equal; decoded text too, except that
// we take one space off the front where a Metaspace decoder drops every mark of the first token.
TEST(TokenizerJson, GoldenStages) {
  const fs::path folder = fs::path(RETORT_SOURCE_DIR) / "tests" / "golden" / "tokenizer_json";
  int num_files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().stem().string();
    SCOPED_TRACE(name);
    ++num_files;
    const Json golden = ParseJson(ReadFile(entry.path(), 1 << 24), name);
    const auto tokenizer = LoadTokenizerJson(DumpJson(golden["tokenizer"]), name);
    for (const Json& one : golden["cases"]) {
      const auto text = one["text"].get<std::string>();
      SCOPED_TRACE(DumpJson(one["text"]));
      const auto ids = tokenizer->Encode(text, true);
      EXPECT_THAT(ids, ElementsAreArray(one["ids"].get<std::vector<int32_t>>()));
      if (!name.starts_with("metaspace")) {
        EXPECT_EQ(tokenizer->Decode(ids, false), one["decoded"].get<std::string>());
      }
    }
  }
  EXPECT_GT(num_files, 0);
}

Json SmallFile() {
  return ParseJson(R"({
    "added_tokens": [{"id": 4, "content": "<s>", "special": true},
                     {"id": 5, "content": "<think>", "special": false}],
    "normalizer": null, "pre_tokenizer": null, "post_processor": null,
    "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "unk_token": "?", "vocab": {"a": 0, "b": 1, "ab": 2, "?": 3},
              "merges": ["a b"]}})",
                   "small");
}

TEST(TokenizerJson, MarkupIsOfTheTemplateEvenIfNotSpecial) {
  const auto tokenizer = LoadTokenizerJson(DumpJson(SmallFile()), "small");
  EXPECT_THAT(tokenizer->Encode("<s>ab<think>", true), testing::ElementsAre(4, 2, 5));
  for (int32_t id : tokenizer->Encode("<s>ab<think>", false)) EXPECT_LT(id, 4);
  EXPECT_FALSE(tokenizer->IsSpecial(5));
  EXPECT_TRUE(tokenizer->IsControl(5));
}

TEST(TokenizerJson, ByteTokensListedAsAddedStayBytes) {
  Json file = SmallFile();
  file["model"]["byte_fallback"] = true;
  file["model"]["vocab"]["<0x7A>"] = 6;
  file["added_tokens"].push_back({{"id", 6}, {"content", "<0x7A>"}, {"special", true}});
  file["decoder"] = {{"type", "ByteFallback"}};
  const auto tokenizer = LoadTokenizerJson(DumpJson(file), "small");
  EXPECT_THAT(tokenizer->Encode("az", false), testing::ElementsAre(0, 6));
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{0, 6}, true), "az");
  EXPECT_FALSE(tokenizer->IsControl(6));
}

TEST(TokenizerJson, ConfigNamesTheRoles) {
  const auto tokenizer = LoadTokenizerJson(
      DumpJson(SmallFile()), "small",
      R"({"bos_token": {"content": "<s>"}, "eos_token": "<think>", "pad_token": null,
          "add_bos_token": true, "add_eos_token": true})");
  EXPECT_EQ(tokenizer->bos_id(), 4);
  EXPECT_EQ(tokenizer->eos_id(), 5);
  EXPECT_EQ(tokenizer->unk_id(), 3);
  EXPECT_TRUE(tokenizer->AddsBos());
  EXPECT_TRUE(tokenizer->AddsEos());
}

// A change to a good file, as a JSON merge patch (RFC 7396) -> the code and a part of the message.
struct BrokenFile {
  std::string patch;
  ErrorCode code;
  std::string message;
};

TEST(TokenizerJson, RefusesWhatIsBroken) {
  const std::string deep = std::string(300, '[') + std::string(300, ']');
  const std::vector<BrokenFile> cases = {
      {R"({"model": {"type": "WordPiece"}})", ErrorCode::kUnsupported, "\"WordPiece\""},
      {R"({"model": {"type": "Unigram"}})", ErrorCode::kUnsupported, "\"Unigram\""},
      {R"({"model": 3})", ErrorCode::kInvalid, "small.model: expected an object, found number"},
      {R"({"model": null})", ErrorCode::kInvalid, "small.model: expected an object"},
      {R"({"model": {"vocab": {"c": -1}}})", ErrorCode::kInvalid, "has id -1"},
      {R"({"model": {"vocab": {"c": 99999999}}})", ErrorCode::kInvalid, "has id 99999999"},
      {R"({"model": {"vocab": {"c": 18446744073709551615}}})", ErrorCode::kInvalid, "has id"},
      {R"({"model": {"vocab": {"c": 0}}})", ErrorCode::kCorrupt, "given to two tokens"},
      {R"({"model": {"vocab": {"c": "0"}}})", ErrorCode::kInvalid, "for an id"},
      {R"({"model": {"vocab": [1]}})", ErrorCode::kInvalid,
       "small.model.vocab: expected an object"},
      {R"({"model": {"merges": ["a c"]}})", ErrorCode::kCorrupt, "right part is not a token"},
      {R"({"model": {"merges": ["b a"]}})", ErrorCode::kCorrupt, "result is not a token"},
      {R"({"model": {"merges": ["ab"]}})", ErrorCode::kInvalid, "neither"},
      {R"({"model": {"merges": [["a", "b", "c"]]}})", ErrorCode::kInvalid, "neither"},
      {R"({"model": {"merges": {"a": 1}}})", ErrorCode::kInvalid, "expected an array"},
      {R"({"model": {"unk_token": "none"}})", ErrorCode::kCorrupt, "unk_token"},
      {R"({"model": {"dropout": 0.1}})", ErrorCode::kUnsupported, "dropout"},
      {R"({"model": {"end_of_word_suffix": "</w>"}})", ErrorCode::kUnsupported, "suffix"},
      {R"({"added_tokens": [{"id": 0, "content": "x"}]})", ErrorCode::kCorrupt, "two tokens"},
      {R"({"added_tokens": [{"id": 9, "content": "a"}]})", ErrorCode::kCorrupt,
       "the vocabulary says 0"},
      {R"({"added_tokens": [{"id": 9, "content": ""}]})", ErrorCode::kInvalid, "no content"},
      {R"({"added_tokens": [{"content": "x"}]})", ErrorCode::kInvalid, "added_tokens[0].id"},
      {R"({"added_tokens": 1})", ErrorCode::kInvalid, "expected an array"},
      {R"({"normalizer": {"type": "Nmt"}})", ErrorCode::kUnsupported, "normalizer \"Nmt\""},
      {R"({"normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}})",
       ErrorCode::kInvalid, "does not compile"},
      {R"({"pre_tokenizer": {"type": "UnicodeScripts"}})", ErrorCode::kUnsupported, "pre-token"},
      {R"({"pre_tokenizer": {"type": "Split", "pattern": {"String": "x"}, "behavior": "Odd"}})",
       ErrorCode::kInvalid, "behavior \"Odd\""},
      {R"({"decoder": {"type": "WordPiece"}})", ErrorCode::kUnsupported, "decoder \"WordPiece\""},
      {R"({"decoder": {"type": "Strip", "content": " ", "start": -1, "stop": 0}})",
       ErrorCode::kInvalid, "Strip needs"},
      {R"({"post_processor": {"type": "BertProcessing", "cls": ["x", 77], "sep": ["x", 1]}})",
       ErrorCode::kCorrupt, "id 77 is outside"},
      {R"({"pre_tokenizer": )" + deep + "}", ErrorCode::kInvalid, "nested deeper"},
  };
  for (const BrokenFile& one : cases) {
    SCOPED_TRACE(one.patch.substr(0, 100));
    try {
      Json file = SmallFile();
      file.merge_patch(Json::parse(one.patch));
      LoadTokenizerJson(DumpJson(file), "small");
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), one.code);
      EXPECT_THAT(error.message(), testing::HasSubstr(one.message));
    }
  }
  for (const std::string text : {"", "{", "[]", "null", "{\"model\": {}}", "\xFF"}) {
    EXPECT_THROW(LoadTokenizerJson(text, "small"), Error) << text;
  }
}

TEST(TokenizerJson, APatternThatExplodesIsAnErrorNotAHang) {
  Json file = SmallFile();
  file["pre_tokenizer"] = {{"type", "Split"},
                           {"pattern", {{"Regex", "(?:a|a|aa|(?:a+)+)+$"}}},
                           {"behavior", "Isolated"}};
  const auto tokenizer = LoadTokenizerJson(DumpJson(file), "small");
  EXPECT_FALSE(tokenizer->Encode("ab", true).empty());
  try {
    tokenizer->Encode(std::string(200, 'a') + "b", true);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kExhausted);
    EXPECT_THAT(error.message(), testing::HasSubstr("looks at a text of 201 bytes"));
  }
}

}  // namespace
}  // namespace retort
