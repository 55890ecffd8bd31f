#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "retort/base/error.h"
#include "retort/models/architecture.h"

namespace retort {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Json HfConfig() {
  return Json::parse(R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64,
    "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 512, "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6, "rope_theta": 5e5, "rope_scaling": null, "bos_token_id": 0,
    "eos_token_id": 1})");
}

Json GgufMetadata() {
  return Json::parse(R"({"general.architecture": "llama", "llama.block_count": 3,
    "llama.embedding_length": 64, "llama.feed_forward_length": 160, "llama.context_length": 512,
    "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2, "llama.vocab_size": 512,
    "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.freq_base": 5e5,
    "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 1,
    "tokenizer.ggml.eot_token_id": 7, "tokenizer.ggml.eom_token_id": 8})");
}

DecoderSpec FromHf(const Json& config, const Json& generation = Json::object()) {
  DecoderSpec spec = LlamaArchitecture().from_hf(config, generation, "dir");
  Validate(spec);
  return spec;
}

DecoderSpec FromGguf(const Json& metadata, std::span<const TensorView> tensors = {}) {
  DecoderSpec spec = LlamaArchitecture().from_gguf(metadata, tensors, "m.gguf");
  Validate(spec);
  return spec;
}

TEST(LlamaConfig, ReadsHuggingFace) {
  const DecoderSpec spec = FromHf(HfConfig());
  EXPECT_EQ(spec.num_layers, 3);
  EXPECT_EQ(spec.model_dim, 64);
  EXPECT_EQ(spec.num_heads, 4);
  EXPECT_EQ(spec.num_kv_heads, 2);
  EXPECT_EQ(spec.head_dim, 16);
  EXPECT_EQ(spec.ffn_dim, 160);
  EXPECT_EQ(spec.vocab_size, 512);
  EXPECT_EQ(spec.context_tokens_max, 512);
  EXPECT_EQ(spec.norm_epsilon, 1e-6f);
  EXPECT_EQ(spec.attention_scale, 0.25f);
  EXPECT_EQ(spec.rope.theta, 5e5);
  EXPECT_EQ(spec.rope.rotary_dim, 16);
  EXPECT_FALSE(spec.rope.interleaved);
  EXPECT_EQ(spec.rope.scaling, RopeScaling::kNone);
  EXPECT_FALSE(spec.tied_embeddings || spec.qkv_bias || spec.mlp_bias);
  EXPECT_EQ(spec.bos_token_id, 0);
  EXPECT_THAT(spec.eos_token_ids, ElementsAre(1));
}

TEST(LlamaConfig, BothSpellingsOfRopeAreTheSame) {
  Json old_spelling = HfConfig();
  old_spelling["rope_scaling"] = {
      {"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 64}};
  Json new_spelling = HfConfig();
  new_spelling.erase("rope_theta");
  new_spelling.erase("rope_scaling");
  new_spelling["rope_parameters"] = {{"rope_type", "yarn"},
                                     {"rope_theta", 5e5},
                                     {"factor", 4.0},
                                     {"original_max_position_embeddings", 64}};
  for (const Json& config : {old_spelling, new_spelling}) {
    const RopeParameters rope = FromHf(config).rope;
    EXPECT_EQ(rope.scaling, RopeScaling::kYarn);
    EXPECT_EQ(rope.theta, 5e5);
    EXPECT_EQ(rope.factor, 4.0);
    EXPECT_EQ(rope.original_context_tokens, 64);
  }
}

TEST(LlamaConfig, DynamicRopeStartsFromTheModelsContext) {
  Json config = HfConfig();
  config["rope_scaling"] = {{"rope_type", "dynamic"}, {"factor", 2.0}};
  EXPECT_EQ(FromHf(config).rope.original_context_tokens, 512);
}

TEST(LlamaConfig, EndTokensOfConfigAndGenerationConfigAreJoined) {
  const Json generation = {{"eos_token_id", {9, 1, 5}}, {"bos_token_id", 3}};
  const DecoderSpec spec = FromHf(HfConfig(), generation);
  EXPECT_THAT(spec.eos_token_ids, ElementsAre(1, 5, 9));
  EXPECT_EQ(spec.bos_token_id, 3);
}

TEST(LlamaConfig, ReadsGguf) {
  std::vector<TensorView> tensors(2);
  tensors[0].name = "output.weight";
  tensors[1].name = "blk.0.attn_q.bias";
  const DecoderSpec spec = FromGguf(GgufMetadata(), tensors);
  EXPECT_EQ(spec.num_layers, 3);
  EXPECT_EQ(spec.head_dim, 16);
  EXPECT_TRUE(spec.rope.interleaved);
  EXPECT_EQ(spec.rope.theta, 5e5);
  EXPECT_TRUE(spec.qkv_bias);
  EXPECT_FALSE(spec.mlp_bias || spec.tied_embeddings);
  EXPECT_THAT(spec.eos_token_ids, ElementsAre(1, 7, 8));
  EXPECT_TRUE(FromGguf(GgufMetadata()).tied_embeddings);
}

TEST(LlamaConfig, OldGgufFilesHaveALinearScaleAlone) {
  Json metadata = GgufMetadata();
  metadata["llama.rope.scale_linear"] = 4.0;
  const RopeParameters rope = FromGguf(metadata).rope;
  EXPECT_EQ(rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(rope.factor, 4.0);
  EXPECT_EQ(FromGguf(GgufMetadata()).rope.scaling, RopeScaling::kNone);
}

TEST(LlamaConfig, OneKeyAsksForAllBiasesOfTheAttention) {
  Json config = HfConfig();
  config["attention_bias"] = true;
  EXPECT_TRUE(FromHf(config).qkv_bias);
  EXPECT_TRUE(FromHf(config).attention_output_bias);
  EXPECT_FALSE(FromHf(config).mlp_bias);
}

TEST(LlamaConfig, WholeNumbersMayBeWrittenAsFloats) {
  Json config = HfConfig();
  config["hidden_size"] = 64.0;
  EXPECT_EQ(FromHf(config).model_dim, 64);
}

TEST(LlamaConfig, SizesFollow) {
  const DecoderSpec spec = FromHf(HfConfig());
  const ParameterCounts counts = CountParameters(spec);
  EXPECT_EQ(counts.layer, 64 * (64 + 32 + 32 + 64) + 3 * 64 * 160 + 2 * 64);
  EXPECT_EQ(counts.total, 2 * 512 * 64 + 3 * counts.layer + 64);
  EXPECT_EQ(KvBytesPerToken(spec, Format::kBF16), 3 * 2 * 32 * 2);
}

struct BadConfig {
  const char* key;
  const char* value;  // JSON; "" erases the key
  const char* message;
};

class BadHfConfig : public testing::TestWithParam<BadConfig> {};

TEST_P(BadHfConfig, IsRefusedByName) {
  Json config = HfConfig();
  if (*GetParam().value == '\0') {
    config.erase(GetParam().key);
  } else {
    config[GetParam().key] = Json::parse(GetParam().value);
  }
  try {
    FromHf(config);
    FAIL() << GetParam().key << " = " << GetParam().value << " was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("dir, config.json"));
    EXPECT_THAT(error.message(), HasSubstr(GetParam().message));
    EXPECT_TRUE(error.code() == ErrorCode::kInvalid || error.code() == ErrorCode::kUnsupported);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadHfConfig,
    testing::Values(
        BadConfig{"hidden_size", "", "'hidden_size' is missing"},
        BadConfig{"intermediate_size", "", "'intermediate_size' is missing"},
        BadConfig{"num_hidden_layers", "", "'num_hidden_layers' is missing"},
        BadConfig{"num_attention_heads", "", "'num_attention_heads' is missing"},
        BadConfig{"vocab_size", "null", "'vocab_size' is missing"},
        BadConfig{"hidden_size", "0", "'hidden_size'"},
        BadConfig{"hidden_size", "-64", "'hidden_size'"},
        BadConfig{"hidden_size", "64.5", "'hidden_size'"},
        BadConfig{"hidden_size", "1e300", "'hidden_size'"},
        BadConfig{"hidden_size", "18446744073709551615", "'hidden_size'"},
        BadConfig{"hidden_size", "\"64\"", "'hidden_size'"},
        BadConfig{"hidden_size", "66", "not divisible by 4 heads"},
        BadConfig{"hidden_size", "2000000000", "model_dim"},
        BadConfig{"vocab_size", "2000000000", "vocab_size"},
        BadConfig{"num_hidden_layers", "1000000", "num_layers"},
        BadConfig{"num_attention_heads", "[4]", "'num_attention_heads'"},
        BadConfig{"num_key_value_heads", "3", "do not divide 4"},
        BadConfig{"num_key_value_heads", "8", "do not divide 4"},
        BadConfig{"head_dim", "15", "rotary_dim is 15, expected an even number"},
        BadConfig{"max_position_embeddings", "0", "'max_position_embeddings'"},
        BadConfig{"rms_norm_eps", "-1e-6", "norm_epsilon"},
        BadConfig{"rms_norm_eps", "0", "norm_epsilon"},
        BadConfig{"rms_norm_eps", "\"tiny\"", "'rms_norm_eps'"},
        BadConfig{"hidden_act", "\"relu9\"", "'relu9' is not known"},
        BadConfig{"tie_word_embeddings", "\"yes\"", "'tie_word_embeddings'"},
        BadConfig{"rope_theta", "0", "rope theta"}, BadConfig{"rope_theta", "1", "rope theta"},
        BadConfig{"rope_scaling", "[]", "'rope_scaling' must be an object"},
        BadConfig{"rope_scaling", R"({"type": "wobbly"})", "'wobbly' is not known"},
        BadConfig{"rope_scaling", R"({"type": "linear"})", "'factor' is missing"},
        BadConfig{"rope_scaling", R"({"type": "linear", "factor": 0})", "rope factor"},
        BadConfig{"rope_scaling", R"({"type": "dynamic", "factor": 0.5})", "rope factor"},
        BadConfig{"rope_scaling", R"({"type": "llama3", "factor": 8})", "low_freq_factor"},
        BadConfig{"rope_scaling",
                  R"({"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4})",
                  "high_freq_factor"},
        BadConfig{"partial_rotary_factor", "2.0", "rotary_dim"},
        BadConfig{"partial_rotary_factor", "-1e308", "rotary_dim"},
        BadConfig{"eos_token_id", "512", "eos_token_id"},
        BadConfig{"eos_token_id", R"([1, "x"])", "'eos_token_id'"},
        BadConfig{"bos_token_id", "600", "bos_token_id"}));

TEST(LlamaConfig, BadGgufMetadataIsRefusedByName) {
  const BadConfig table[] = {
      {"llama.block_count", "", "'llama.block_count' is missing"},
      {"llama.attention.head_count", "[4, 4]", "'llama.attention.head_count'"},
      {"llama.attention.value_length", "32", "value_length 32 differs"},
      {"llama.expert_count", "8", "mixture of 8 experts"},
      {"llama.vocab_size", "", "'llama.vocab_size' is missing"},
      {"llama.rope.dimension_count", "18", "'llama.rope.dimension_count'"},
      {"llama.rope.scaling.type", "\"longrope\"", "'longrope' is not known"},
      {"llama.rope.scaling.type", "\"dynamic\"", "not one that GGUF defines"},
      {"tokenizer.ggml.eos_token_id", "-5", "'tokenizer.ggml.eos_token_id'"},
  };
  for (const BadConfig& bad : table) {
    SCOPED_TRACE(fmt::format("{} = {}", bad.key, bad.value));
    Json metadata = GgufMetadata();
    if (*bad.value == '\0') {
      metadata.erase(bad.key);
    } else {
      metadata[bad.key] = Json::parse(bad.value);
    }
    try {
      FromGguf(metadata);
      ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.message(), HasSubstr(bad.message));
      EXPECT_THAT(error.message(), HasSubstr("m.gguf"));
    }
  }
}

}  // namespace
}  // namespace retort
