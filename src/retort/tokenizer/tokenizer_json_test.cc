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

}  // namespace
}  // namespace retort
