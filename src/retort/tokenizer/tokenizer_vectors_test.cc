// Public vectors: every vocabulary of ../shared/data/tokenizers against the ids that other
// implementations give. The folder is listed when the test runs; what is there must be exact, or be
// named here with the reason why it is not supported.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/normalizer.h"
#include "retort/tokenizer/pre_tokenizer.h"
#include "retort/tokenizer/test_data.h"
#include "retort/tokenizer/token_stream.h"
#include "retort/tokenizer/work_budget.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using test::ReadInpOut;
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

std::shared_ptr<const Tokenizer> Tiktoken(const fs::path& file, std::string_view pattern,
                                          std::vector<std::pair<std::string, int32_t>> special) {
  return LoadTiktoken(ReadFile(file, kFileBytesMax), pattern, special, file.filename().string());
}

std::string_view PatternOf(std::string_view name) {
  return PreTokenizerNamed(name, "test").patterns.back();
}

TEST(TokenizerVectors, TiktokenRanksAgainstLlamaCppVectors) {
  const fs::path folder = SharedData() / "tokenizers";
  if (!fs::exists(folder)) GTEST_SKIP() << "no shared data at " << SharedData();
  const struct {
    fs::path ranks;
    std::string vectors;
  } pairs[] = {{folder / "llama3" / "tokenizer.model", "llama-bpe"},
               {folder / "qwen" / "qwen.tiktoken", "qwen2"},
               {folder / "qwen" / "qwen.tiktoken", "deepseek-r1-qwen"}};
  for (const auto& [ranks, vectors] : pairs) {
    SCOPED_TRACE(vectors);
    const auto tokenizer = Tiktoken(ranks, PatternOf(vectors), {});
    const auto cases = ReadInpOut(folder / "llama.cpp-vocab" / ("ggml-vocab-" + vectors + ".gguf"));
    EXPECT_GE(cases.size(), 40u);
    for (const VectorCase& one : cases) ExpectIds(tokenizer, one.text, one.ids, true);
  }
}

TEST(TokenizerVectors, SentencePieceFileAgainstLlamaCppVectors) {
  const fs::path folder = SharedData() / "tokenizers";
  if (!fs::exists(folder)) GTEST_SKIP() << "no shared data at " << SharedData();
  const auto tokenizer =
      LoadSentencePiece(ReadFile(folder / "llama2" / "tokenizer.model", kFileBytesMax), "llama2");
  for (const VectorCase& one :
       ReadInpOut(folder / "llama.cpp-vocab" / "ggml-vocab-llama-spm.gguf")) {
    ExpectIds(tokenizer, one.text, one.ids, true);
  }
}

TEST(TokenizerVectors, Golden) {
  const fs::path folder = SharedData() / "tokenizers";
  if (!fs::exists(folder)) GTEST_SKIP() << "no shared data at " << SharedData();
  const Json golden =
      ParseJson(ReadFile(folder / "tokenizer_golden.json", kFileBytesMax), "tokenizer_golden.json");
  ASSERT_FALSE(golden.empty());
  for (const auto& [name, entry] : golden.items()) {
    SCOPED_TRACE(name);
    const fs::path file = folder / entry["vocabulary"].get<std::string>();
    std::vector<std::pair<std::string, int32_t>> special;
    if (entry.contains("added_tokens")) {
      for (const auto& [content, id] : entry["added_tokens"].items()) {
        special.emplace_back(content, id.get<int32_t>());
      }
    }
    const auto tokenizer = name == "mistral_v1"
                               ? LoadSentencePiece(ReadFile(file, kFileBytesMax), name)
                           : name == "llama3_1" ? Tiktoken(file, PatternOf("llama-bpe"), special)
                                                : Tiktoken(file, PatternOf("qwen2"), special);
    for (const Json& one : entry["cases"]) {
      auto text = one["text"].get<std::string>();
      SCOPED_TRACE(text);
      if (name == "qwen3") {  // its tokenizer.json normalises; the ranks file cannot say so
        Normalizer nfc;
        nfc.Add(Normalizer::Unicode{Normalizer::Form::kNfc}, "nfc");
        WorkBudget budget(text.size(), "nfc");
        nfc.Apply(&text, &budget);
      }
      std::vector<int32_t> ids = tokenizer->Encode(text, true);
      if (!entry["bos"].is_null()) ids.insert(ids.begin(), entry["bos"].get<int32_t>());
      EXPECT_THAT(ids, ElementsAreArray(one["ids"].get<std::vector<int32_t>>()));
      EXPECT_EQ(tokenizer->Decode(ids, true), one["decoded"].get<std::string>());
      EXPECT_EQ(Streamed(tokenizer, ids, true), one["decoded"].get<std::string>());
    }
  }
}

struct PlannedCase {
  std::string encoding;
  std::string text;
  std::vector<int32_t> ids;
};

// Records of three lines: EncodingName, Sample (which may hold line breaks), Encoded.
std::vector<PlannedCase> ReadTestPlans(const fs::path& path) {
  std::vector<PlannedCase> out;
  for (const std::string& record :
       test::SplitText("\n" + ReadFile(path, kFileBytesMax), "\nEncodingName: ")) {
    const size_t sample = record.find("\nSample: ");
    const size_t encoded = record.rfind("\nEncoded: [");
    if (sample == std::string::npos || encoded == std::string::npos) continue;
    PlannedCase one{record.substr(0, sample), record.substr(sample + 9, encoded - sample - 9), {}};
    const size_t ids = encoded + 11;
    for (const std::string& id :
         test::SplitText(record.substr(ids, record.find(']', ids) - ids), ", ")) {
      if (!id.empty()) one.ids.push_back(std::stoi(id));
    }
    out.push_back(std::move(one));
  }
  return out;
}

TEST(TokenizerVectors, TiktokenTestPlans) {
  const fs::path folder = SharedData() / "tokenizers";
  if (!fs::exists(folder)) GTEST_SKIP() << "no shared data at " << SharedData();
  const fs::path plans = folder / "openai-tiktoken";
  std::map<std::string, std::shared_ptr<const Tokenizer>> tokenizers;
  tokenizers["cl100k_base"] =
      Tiktoken(plans / "cl100k_base.tiktoken", PatternOf("llama-bpe"), {{"<|endoftext|>", 100257}});
  tokenizers["o200k_base"] =
      Tiktoken(plans / "o200k_base.tiktoken", PatternOf("gpt-4o"), {{"<|endoftext|>", 199999}});
  tokenizers["r50k_base"] = TokenizerFromGguf(
      test::GgufMetadata::Read(folder / "llama.cpp-vocab" / "ggml-vocab-gpt-2.gguf"), "gpt-2");
  std::map<std::string, int> num_cases;
  for (const PlannedCase& one : ReadTestPlans(plans / "TestPlans.txt")) {
    if (one.encoding.starts_with("p50k")) continue;  // its vocabulary is not among the data
    SCOPED_TRACE(one.encoding);
    ASSERT_TRUE(tokenizers.contains(one.encoding)) << "no vocabulary for " << one.encoding;
    ++num_cases[one.encoding];
    ExpectIds(tokenizers[one.encoding], one.text, one.ids, true);
  }
  EXPECT_EQ(num_cases["cl100k_base"], 64);
  EXPECT_EQ(num_cases["o200k_base"], 57);
  EXPECT_EQ(num_cases["r50k_base"], 64);
}

// Every tokenizer.json beside a golden checkpoint loads, and what it encodes decodes to itself.
TEST(TokenizerVectors, TokenizerJsonOfCheckpoints) {
  if (!fs::exists(SharedData())) GTEST_SKIP() << "no shared data at " << SharedData();
  const auto cases =
      ReadInpOut(SharedData() / "tokenizers" / "llama.cpp-vocab" / "ggml-vocab-gpt-2.gguf");
  std::vector<fs::path> files;
  for (const char* folder : {"goldens/hf", "goldens/quantized", "models"}) {
    for (const auto& entry : fs::directory_iterator(SharedData() / folder)) {
      if (fs::exists(entry.path() / "tokenizer.json")) files.push_back(entry.path());
    }
  }
  EXPECT_FALSE(files.empty());
  for (const fs::path& folder : files) {
    SCOPED_TRACE(folder);
    const auto tokenizer =
        LoadTokenizerJson(ReadFile(folder / "tokenizer.json", kFileBytesMax), folder.string(),
                          ReadFile(folder / "tokenizer_config.json", kFileBytesMax));
    ASSERT_TRUE(tokenizer->bos_id() && tokenizer->eos_id());
    EXPECT_TRUE(tokenizer->IsSpecial(*tokenizer->eos_id()));
    EXPECT_EQ(tokenizer->AddsBos(), folder.filename() == "stories260K-hf");
    for (const VectorCase& one : cases) {
      SCOPED_TRACE(one.text);
      const auto ids = tokenizer->Encode(one.text, false);
      EXPECT_EQ(tokenizer->Decode(ids, false), one.text);
      EXPECT_EQ(Streamed(tokenizer, ids, true), one.text);
    }
  }
}

}  // namespace
}  // namespace retort
