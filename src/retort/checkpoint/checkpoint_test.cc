#include "retort/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "retort/base/error.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

fs::path SharedData() {
  const char* shared = std::getenv("RETORT_SHARED");
  return shared != nullptr ? shared : RETORT_SOURCE_DIR "/../shared/data";
}

std::vector<fs::path> Children(const fs::path& directory) {
  std::vector<fs::path> paths;
  if (fs::exists(directory)) {
    for (const auto& entry : fs::directory_iterator(directory)) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<float> DecodeAll(const TensorView& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.shape.NumValues()));
  DecodeRows(tensor, 0, tensor.shape.NumRows(), values.data());
  return values;
}

// Every public checkpoint opens, and each tensor that can be decoded decodes to finite numbers.
TEST(CheckpointTest, OpensEveryPublishedFile) {
  std::vector<fs::path> paths;
  for (const char* folder : {"goldens/hf", "goldens/gguf", "goldens/quantized", "models",
                             "tokenizers/llama.cpp-vocab"}) {
    for (const fs::path& path : Children(SharedData() / folder)) {
      const bool is_weights = path.extension() == ".gguf" || path.extension() == ".safetensors";
      if (is_weights || fs::exists(path / "config.json")) paths.push_back(path);
    }
  }
  if (paths.empty()) GTEST_SKIP() << "no shared data at " << SharedData();
  for (const fs::path& path : paths) {
    SCOPED_TRACE(path);
    const auto checkpoint = Checkpoint::Open(path);
    uint64_t tensor_bytes = 0;
    for (const TensorView& tensor : checkpoint->tensors()) {
      tensor_bytes += tensor.bytes.size();
      EXPECT_EQ(checkpoint->Find(tensor.name), &tensor);
      if (Info(tensor.format).decode == nullptr) continue;
      EXPECT_EQ(tensor.bytes.size(), StoredBytes(tensor.format, tensor.shape.NumValues()));
      CheckFinite(tensor);
    }
    EXPECT_EQ(checkpoint->tensor_bytes(), tensor_bytes);
    if (fs::is_directory(path)) {
      EXPECT_TRUE(checkpoint->metadata().contains("config"));
      EXPECT_TRUE(checkpoint->TextFile("tokenizer.json").has_value());
    } else if (checkpoint->kind() == CheckpointKind::kGguf) {
      EXPECT_TRUE(checkpoint->metadata().contains("general.architecture"));
      EXPECT_EQ(checkpoint->digest(), FileDigest(path));
      EXPECT_EQ(checkpoint->TextFile("config.json"), std::nullopt);
    }
  }
}

// The pairs that a converter wrote without loss: the same multiset of values must come out of both
// readers. Names differ and query/key rows are permuted, so values are compared sorted, over all.
TEST(CheckpointTest, SafetensorsAndGgufOfOneModelHoldTheSameValues) {
  int num_pairs = 0;
  for (const fs::path& gguf_path : Children(SharedData() / "goldens/gguf")) {
    const fs::path hf_path = SharedData() / "goldens/hf" / gguf_path.stem();
    if (gguf_path.extension() != ".gguf" || !fs::exists(hf_path / "config.json")) continue;
    SCOPED_TRACE(gguf_path);
    const auto gguf = Checkpoint::Open(gguf_path);
    const auto hf = Checkpoint::Open(hf_path);
    // Largest matrices have one name in both.
    const TensorView& gguf_embedding = gguf->At("token_embd.weight");
    const TensorView& hf_embedding = hf->At("model.embed_tokens.weight");
    EXPECT_EQ(gguf_embedding.shape, hf_embedding.shape);
    EXPECT_EQ(DecodeAll(gguf_embedding), DecodeAll(hf_embedding));
    std::map<float, int64_t> surplus;
    for (const TensorView& tensor : gguf->tensors()) {
      if (tensor.name.starts_with("rope_")) continue;  // computed by the converter
      for (float value : DecodeAll(tensor)) ++surplus[value];
    }
    for (const TensorView& tensor : hf->tensors()) {
      for (float value : DecodeAll(tensor)) --surplus[value];
    }
    for (const auto& [value, count] : surplus) ASSERT_EQ(count, 0) << value;
    ++num_pairs;
  }
  if (num_pairs == 0) GTEST_SKIP() << "no shared data at " << SharedData();
}

}  // namespace
}  // namespace retort
