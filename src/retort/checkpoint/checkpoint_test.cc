#include "retort/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/log.h"
#include "retort/base/scratch_folder_test.h"
#include "retort/base/shared_data_test.h"

namespace retort {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

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

// Tensors that a converter only renames (gate and up projections may be fused, experts stacked).
constexpr std::pair<std::string_view, std::string_view> kSameInBoth[] = {
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_down", "mlp.down_proj"},
    {"ffn_gate", "mlp.gate_proj"}};

void ExpectSameTensor(const Checkpoint& a, std::string_view a_name, const Checkpoint& b,
                      std::string_view b_name) {
  SCOPED_TRACE(b_name);
  EXPECT_EQ(a.At(a_name).shape, b.At(b_name).shape);
  EXPECT_EQ(DecodeAll(a.At(a_name)), DecodeAll(b.At(b_name)));
}

// The pairs that a converter wrote without loss: the same multiset of values must come out of both
// readers (query/key rows are permuted between the two, so values are compared as a multiset over
// all), and the tensors that are only renamed must be equal.
TEST(CheckpointTest, SafetensorsAndGgufOfOneModelHoldTheSameValues) {
  int num_pairs = 0;
  for (const fs::path& gguf_path : Children(SharedData() / "goldens/gguf")) {
    const fs::path hf_path = SharedData() / "goldens/hf" / gguf_path.stem();
    if (gguf_path.extension() != ".gguf" || !fs::exists(hf_path / "config.json")) continue;
    SCOPED_TRACE(gguf_path);
    const auto gguf = Checkpoint::Open(gguf_path);
    const auto hf = Checkpoint::Open(hf_path);
    ExpectSameTensor(*gguf, "token_embd.weight", *hf, "model.embed_tokens.weight");
    int num_equal = 0;
    for (int layer = 0; hf->Find(fmt::format("model.layers.{}.self_attn.v_proj.weight", layer));
         ++layer) {
      for (const auto& [gguf_name, hf_name] : kSameInBoth) {
        const std::string in_hf = fmt::format("model.layers.{}.{}.weight", layer, hf_name);
        if (hf->Find(in_hf) == nullptr) continue;
        ExpectSameTensor(*gguf, fmt::format("blk.{}.{}.weight", layer, gguf_name), *hf, in_hf);
        ++num_equal;
      }
    }
    EXPECT_GT(num_equal, 0);
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

// A directory that a test fills, removed afterwards.
class CheckpointDirectoryTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, std::string_view content) {
    WriteFileAtomically(directory_ / name, content);
  }
  // A safetensors file of one-byte tensors.
  void WriteTensors(const std::string& name, const std::vector<std::string>& tensors) {
    Json header = Json::object();
    for (size_t i = 0; i < tensors.size(); ++i) {
      header[tensors[i]] = {{"dtype", "U8"}, {"shape", {1}}, {"data_offsets", {i, i + 1}}};
    }
    const std::string text = header.dump();
    const uint64_t length = text.size();
    Write(name, std::string(reinterpret_cast<const char*>(&length), 8) + text +
                    std::string(tensors.size(), 'x'));
  }
  void WriteIndex(const Json& weight_map) {
    Write("model.safetensors.index.json", Json{{"weight_map", weight_map}}.dump());
  }
  Error Refusal() {
    try {
      Checkpoint::Open(directory_);
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorCode::kInternal, "opened");
  }
  void ExpectRefusal(ErrorCode code, std::string_view first, std::string_view second) {
    const Error error = Refusal();
    EXPECT_EQ(error.code(), code) << error.message();
    EXPECT_THAT(error.message(), AllOf(HasSubstr(first), HasSubstr(second)));
  }

  const ScratchFolder scratch_;
  const fs::path directory_ = scratch_.path();
};

TEST_F(CheckpointDirectoryTest, JoinsShardsAndSideFiles) {
  WriteTensors("model-1.safetensors", {"a", "b"});
  WriteTensors("model-2.safetensors", {"c"});
  WriteIndex(
      {{"c", "model-2.safetensors"}, {"a", "model-1.safetensors"}, {"b", "model-1.safetensors"}});
  Write("config.json", R"({"model_type": "llama"})");
  Write("chat_template.jinja", "{{ x }}");
  const auto checkpoint = Checkpoint::Open(directory_);
  EXPECT_EQ(checkpoint->kind(), CheckpointKind::kSafetensors);
  EXPECT_EQ(checkpoint->tensors().size(), 3);
  EXPECT_NE(checkpoint->Find("c"), nullptr);
  EXPECT_EQ(checkpoint->Find("d"), nullptr);
  EXPECT_EQ(checkpoint->metadata()["config"]["model_type"], "llama");
  EXPECT_EQ(checkpoint->TextFile("chat_template.jinja"), "{{ x }}");
  EXPECT_EQ(checkpoint->TextFile("tokenizer.json"), std::nullopt);
  EXPECT_THROW(checkpoint->TextFile("../secret"), Error);
  EXPECT_THROW(checkpoint->TextFile(".."), Error);
  EXPECT_THROW(checkpoint->TextFile(""), Error);
  try {
    checkpoint->At("cc");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.message(), HasSubstr("'cc'"));
  }
}

TEST_F(CheckpointDirectoryTest, TheDigestFollowsEveryFileThatMatters) {
  WriteTensors("model.safetensors", {"a"});
  Write("config.json", "{}");
  const std::string first = Checkpoint::Open(directory_)->digest();
  EXPECT_EQ(Checkpoint::Open(directory_)->digest(), first);
  Write("README.md", "unrelated");
  EXPECT_EQ(Checkpoint::Open(directory_)->digest(), first);
  Write("config.json", "{ }");
  const std::string second = Checkpoint::Open(directory_)->digest();
  EXPECT_NE(second, first);
  Write("tokenizer.json", "{}");
  EXPECT_NE(Checkpoint::Open(directory_)->digest(), second);
}

// What is read of a side file is what the digest is of, whatever becomes of the file.
TEST_F(CheckpointDirectoryTest, SideFilesAreReadOnce) {
  WriteTensors("model.safetensors", {"a"});
  Write("config.json", R"({"model_type": "llama"})");
  Write("tokenizer.json", "{}");
  Write("generation_config.json", R"({"eos_token_id": 1})");
  Write("chat_template.jinja", "old");
  const std::string expected = Checkpoint::Open(directory_)->digest();
  const auto checkpoint = Checkpoint::Open(directory_);
  Write("config.json", R"({"model_type": "other"})");
  Write("tokenizer.json", "[]");
  Write("generation_config.json", R"({"eos_token_id": 2})");
  fs::remove(directory_ / "chat_template.jinja");
  EXPECT_EQ(checkpoint->digest(), expected);
  EXPECT_EQ(checkpoint->TextFile("config.json"), R"({"model_type": "llama"})");
  EXPECT_EQ(checkpoint->TextFile("tokenizer.json"), "{}");
  EXPECT_EQ(checkpoint->TextFile("chat_template.jinja"), "old");
  EXPECT_EQ(checkpoint->metadata()["generation_config"]["eos_token_id"], 1);
  EXPECT_NE(Checkpoint::Open(directory_)->digest(), expected);
  checkpoint->CheckUnchanged();
}

TEST_F(CheckpointDirectoryTest, AChangedWeightFileIsRefusedForGood) {
  const auto refused = [](const Checkpoint& checkpoint) -> std::string {
    try {
      checkpoint.CheckUnchanged();
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      EXPECT_EQ(error.message().find("changed while it was in use") != std::string::npos, true);
      return error.message();
    }
  };
  Write("config.json", "{}");
  WriteIndex({{"a", "1.safetensors"}, {"b", "2.safetensors"}});
  WriteTensors("1.safetensors", {"a"});
  WriteTensors("2.safetensors", {"b"});
  for (const bool digest_first : {true, false}) {
    const auto checkpoint = Checkpoint::Open(directory_);
    if (digest_first) checkpoint->digest();
    EXPECT_EQ(refused(*checkpoint), "");
    // Replaced by rename: the old bytes stay.
    WriteTensors("1.safetensors", {"a"});
    EXPECT_EQ(refused(*checkpoint), "");
    // Written in place, and the true bytes back.
    std::fstream(directory_ / "2.safetensors", std::ios::in | std::ios::out).put('?');
    WriteTensors("2.safetensors", {"b"});
    EXPECT_THAT(refused(*checkpoint), HasSubstr("2.safetensors"));
    EXPECT_THAT(refused(*checkpoint), HasSubstr("2.safetensors"));
    EXPECT_THROW(checkpoint->digest(), Error);
  }
}

// Times and sizes alone would not tell: other rights explain the new time.
TEST_F(CheckpointDirectoryTest, OtherRightsDoNotHideOtherBytes) {
  WriteTensors("model.safetensors", {"a"});
  Write("config.json", "{}");
  const fs::path file = directory_ / "model.safetensors";
  const auto checkpoint = Checkpoint::Open(directory_);
  checkpoint->digest();
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
  checkpoint->CheckUnchanged();
  const auto time = fs::last_write_time(file);
  const auto size = fs::file_size(file);
  {
    std::fstream stream(file, std::ios::in | std::ios::out);
    stream.seekp(static_cast<std::streamoff>(size) - 1).put('?');
  }
  fs::last_write_time(file, time);
  fs::permissions(file, fs::perms::owner_all);
  EXPECT_THROW(checkpoint->CheckUnchanged(), Error);
  EXPECT_THROW(checkpoint->CheckUnchanged(), Error);  // looked at again
}

TEST_F(CheckpointDirectoryTest, SaysWhatIsMissingOrWrong) {
  ExpectRefusal(ErrorCode::kNotFound, "holds no checkpoint", "model.safetensors");
  Write("pytorch_model.bin", "x");
  ExpectRefusal(ErrorCode::kUnsupported, "pickled", "safetensors");
  WriteTensors("model.safetensors", {"a"});
  ExpectRefusal(ErrorCode::kNotFound, "config.json", directory_.string());
  Write("config.json", "{\n nonsense");
  ExpectRefusal(ErrorCode::kInvalid, "config.json:2:", "not valid JSON");
  Write("config.json", "[]");
  ExpectRefusal(ErrorCode::kCorrupt, "config.json", "expected a JSON object, found array");
  Write("config.json", "{}");
  EXPECT_EQ(Refusal().message(), "opened");
  Write("model.safetensors", "short");
  ExpectRefusal(ErrorCode::kCorrupt, "model.safetensors", "at least 8 bytes");
}

TEST_F(CheckpointDirectoryTest, SaysWhichShardIsWrong) {
  Write("config.json", "{}");
  Write("model.safetensors.index.json", "{}");
  ExpectRefusal(ErrorCode::kCorrupt, "index.json", "weight_map");
  WriteIndex({{"a", "../model.safetensors"}});
  ExpectRefusal(ErrorCode::kCorrupt, "'a'", "same directory");
  WriteIndex({{"a", 1}});
  ExpectRefusal(ErrorCode::kCorrupt, "'a'", "same directory");
  WriteIndex({{"a", "1.safetensors"}, {"b", "2.safetensors"}});
  WriteTensors("1.safetensors", {"a"});
  ExpectRefusal(ErrorCode::kNotFound, "'2.safetensors'", "2 shards");
  WriteTensors("2.safetensors", {"b", "extra"});
  ExpectRefusal(ErrorCode::kCorrupt, "2.safetensors", "'extra'");
  WriteTensors("2.safetensors", {"b"});
  EXPECT_EQ(Refusal().message(), "opened");
}

// A published index may list more than its shards hold; whoever needs the tensor misses it.
TEST_F(CheckpointDirectoryTest, AnIndexWithATensorTooManyIsSaid) {
  Write("config.json", "{}");
  WriteIndex({{"a", "1.safetensors"}, {"b", "1.safetensors"}});
  WriteTensors("1.safetensors", {"a"});
  std::string said;
  SetLogSink([&](LogLevel, std::string_view line) { said += line; });
  const auto checkpoint = Checkpoint::Open(directory_);
  SetLogSink(nullptr);
  EXPECT_THAT(said, AllOf(HasSubstr("'b'"), HasSubstr("does not hold it")));
  EXPECT_NE(checkpoint->Find("a"), nullptr);
  EXPECT_THROW(checkpoint->At("b"), Error);
}

TEST_F(CheckpointDirectoryTest, AnAdapterIsNamedAsOne) {
  WriteTensors("adapter_model.safetensors", {"a"});
  Write("training_args.bin", "pickled");
  ExpectRefusal(ErrorCode::kUnsupported, "is an adapter, not a model", "base model");
  Write("adapter_config.json", R"({"peft_type": "LORA", "base_model_name_or_path": "org/base"})");
  ExpectRefusal(ErrorCode::kUnsupported, "is a LoRA adapter, not a model", "base model 'org/base'");
  fs::remove(directory_ / "adapter_model.safetensors");
  Write("adapter_model.bin", "pickled");
  ExpectRefusal(ErrorCode::kUnsupported, "is a LoRA adapter", "'org/base'");
  Write("adapter_config.json", R"({"peft_type": "IA3", "base_model_name_or_path": null})");
  ExpectRefusal(ErrorCode::kUnsupported, "is an adapter (IA3)", "base model and");
  // The base model in the same folder is a model.
  WriteTensors("model.safetensors", {"a"});
  Write("config.json", "{}");
  EXPECT_EQ(Refusal().message(), "opened");
  WriteTensors("adapter_model.safetensors", {"a"});
  EXPECT_THROW(Checkpoint::Open(directory_ / "adapter_model.safetensors"), Error);
}

TEST_F(CheckpointDirectoryTest, WhatATrainerLeavesIsNoWeights) {
  for (const char* name : {"training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"}) {
    Write(name, "pickled");
  }
  ExpectRefusal(ErrorCode::kNotFound, "holds no checkpoint", "model.safetensors");
  WriteTensors("model-00001-of-00002.safetensors", {"a"});
  ExpectRefusal(ErrorCode::kNotFound, "model-00001-of-00002.safetensors", "index.json");
}

TEST_F(CheckpointDirectoryTest, OpensAGgufByWhatItHolds) {
  const std::string empty("GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
  Write("sha256-0123", empty);
  EXPECT_EQ(Checkpoint::Open(directory_ / "sha256-0123")->kind(), CheckpointKind::kGguf);
  for (const char* other : {"", "GGU", "GGML....", "FUGG"}) {
    Write("sha256-0123", other);
    EXPECT_THROW(Checkpoint::Open(directory_ / "sha256-0123"), Error) << other;
  }
}

TEST_F(CheckpointDirectoryTest, TheBoundOfASideFileIsExact) {
  constexpr size_t kSideFileBytes = size_t{16} << 20;
  WriteTensors("model.safetensors", {"a"});
  for (const size_t size : {kSideFileBytes - 1, kSideFileBytes}) {
    Write("config.json", "{}" + std::string(size - 2, ' '));
    EXPECT_EQ(Refusal().message(), "opened") << size;
  }
  Write("config.json", "{}" + std::string(kSideFileBytes - 1, ' '));
  ExpectRefusal(ErrorCode::kExhausted, "config.json", "16777216");
}

TEST_F(CheckpointDirectoryTest, RefusesWhatIsNoRegularFile) {
  const auto put_fifo = [&](const char* name) {
    fs::remove(directory_ / name);
    ASSERT_EQ(::mkfifo((directory_ / name).c_str(), 0600), 0);
  };
  put_fifo("model.safetensors");
  Write("config.json", "{}");
  ExpectRefusal(ErrorCode::kInvalid, "model.safetensors", "is a FIFO");
  fs::remove(directory_ / "model.safetensors");
  WriteTensors("model.safetensors", {"a"});
  put_fifo("config.json");
  ExpectRefusal(ErrorCode::kInvalid, "config.json", "is a FIFO");
  put_fifo("sha256-0123");
  EXPECT_THROW(Checkpoint::Open(directory_ / "sha256-0123"), Error);
  fs::remove(directory_ / "config.json");
  Write("config.json", "{}");
  put_fifo("tokenizer.json");
  EXPECT_THROW(Checkpoint::Open(directory_)->TextFile("tokenizer.json"), Error);
  fs::remove(directory_ / "model.safetensors");
  put_fifo("model.safetensors.index.json");
  ExpectRefusal(ErrorCode::kInvalid, "index.json", "is a FIFO");
}

TEST_F(CheckpointDirectoryTest, OpensADirectoryWithExactlyOneGguf) {
  const std::string empty("GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
  Write("a.gguf", empty);
  const auto checkpoint = Checkpoint::Open(directory_);
  EXPECT_EQ(checkpoint->kind(), CheckpointKind::kGguf);
  EXPECT_EQ(checkpoint->digest(), Checkpoint::Open(directory_ / "a.gguf")->digest());
  Write("b.gguf", empty);
  ExpectRefusal(ErrorCode::kInvalid, "2 .gguf files", "a.gguf");
}

TEST(CheckpointTest, RefusesPathsThatAreNoCheckpoint) {
  for (const auto& [path, code] :
       {std::pair{"/no/such/file", ErrorCode::kNotFound}, {"/dev/null", ErrorCode::kInvalid}}) {
    try {
      Checkpoint::Open(path);
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      EXPECT_THAT(error.message(), HasSubstr(path));
    }
  }
}

}  // namespace
}  // namespace retort
