// Public vectors: every vocabulary of ../shared/data/tokenizers against the ids that other
// implementations give. The folder is listed when the test runs; what is there must be exact, or be
// named here with the reason why it is not supported.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/test_data.h"
#include "retort/tokenizer/token_stream.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using test::ReadInpOut;
using test::SharedData;
using test::VectorCase;
using ::testing::ElementsAreArray;

constexpr uint64_t kFileBytesMax = 1 << 26;

std::string Streamed(std::shared_ptr<const Tokenizer> tokenizer, const std::vector<int32_t>& ids,
                     bool skip_special) {
  TokenStream stream(std::move(tokenizer), skip_special, true);
  std::string text;
  for (int32_t id : ids) text += stream.Push(id);
  return text + stream.Finish();
}

// The ids are `expected`, and they decode to the text again, whole and streamed.
void ExpectIds(const std::shared_ptr<const Tokenizer>& tokenizer, const std::string& text,
               const std::vector<int32_t>& expected, bool parse_special) {
  SCOPED_TRACE(text);
  const std::vector<int32_t> ids = tokenizer->Encode(text, parse_special);
  EXPECT_THAT(ids, ElementsAreArray(expected));
  EXPECT_EQ(tokenizer->Decode(ids, false), text);
  EXPECT_EQ(Streamed(tokenizer, ids, false), text);
}

TEST(TokenizerVectors, Smollm2Exact) {
  const fs::path vectors = SharedData() / "tokenizers" / "smollm2" / "vectors.json";
  if (!fs::exists(vectors)) GTEST_SKIP() << "no shared data at " << SharedData();
  const fs::path model = test::DemoModel();
  if (model.empty()) {
    GTEST_SKIP() << "the demo model is not here: set RETORT_SMOLLM2, or `retort pull` it";
  }
  const auto tokenizer =
      TokenizerFromGguf(test::GgufMetadata::Read(model), model.filename().string());
  const Json json = ParseJson(ReadFile(vectors, kFileBytesMax), "vectors.json");
  ASSERT_FALSE(json["vectors"].empty());
  for (const Json& one : json["vectors"]) {
    const auto text = one["text"].get<std::string>();
    ExpectIds(tokenizer, text, one["ids"].get<std::vector<int32_t>>(), false);
    ExpectIds(tokenizer, text, one["ids_special"].get<std::vector<int32_t>>(), true);
  }
}

TEST(TokenizerVectors, LlamaCppVocabularies) {
  const std::map<std::string, std::string> unsupported = {
      {"ggml-vocab-bert-bge.gguf", "WordPiece"},
  };
  const fs::path folder = SharedData() / "tokenizers" / "llama.cpp-vocab";
  if (!fs::exists(folder)) GTEST_SKIP() << "no shared data at " << SharedData();
  int num_files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    const std::string name = entry.path().filename().string();
    SCOPED_TRACE(name);
    ++num_files;
    const Json metadata = test::GgufMetadata::Read(entry.path());
    if (unsupported.contains(name)) {
      EXPECT_THROW(TokenizerFromGguf(metadata, name), Error);
      continue;
    }
    const auto tokenizer = TokenizerFromGguf(metadata, name);
    for (const VectorCase& one : ReadInpOut(entry.path())) {
      ExpectIds(tokenizer, one.text, one.ids, true);
    }
  }
  EXPECT_GT(num_files, 0) << folder << " holds no vocabulary";
}

TEST(TokenizerVectors, Phi3TokenizerJson) {
  const fs::path folder = SharedData() / "tokenizers" / "phi-3-mini";
  if (!fs::exists(folder)) GTEST_SKIP() << "no shared data at " << SharedData();
  const auto tokenizer =
      LoadTokenizerJson(ReadFile(folder / "tokenizer.json", kFileBytesMax), "phi-3-mini",
                        ReadFile(folder / "tokenizer_config.json", kFileBytesMax));
  for (const VectorCase& one :
       ReadInpOut(SharedData() / "tokenizers" / "llama.cpp-vocab" / "ggml-vocab-phi-3.gguf")) {
    ExpectIds(tokenizer, one.text, one.ids, true);
  }
}

}  // namespace
}  // namespace retort
