#include "retort/models/tensor_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "retort/base/error.h"
#include "retort/models/architecture.h"

namespace retort {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// A two-layer Llama's tensors, by name and shape; the bytes are never looked at here.
class TensorMapTest : public testing::Test {
 protected:
  TensorMapTest() {
    spec_.architecture = "LlamaForCausalLM";
    spec_.source = "dir, config.json";
    spec_.num_layers = 2;
    spec_.model_dim = 8;
    spec_.num_heads = 2;
    spec_.num_kv_heads = 1;
    spec_.head_dim = 4;
    spec_.ffn_dim = 12;
    spec_.vocab_size = 32;
    spec_.rope.rotary_dim = 4;
    Add("model.embed_tokens.weight", {32, 8});
    Add("model.norm.weight", {8});
    Add("lm_head.weight", {32, 8});
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
      Add(layer + "input_layernorm.weight", {8});
      Add(layer + "self_attn.q_proj.weight", {8, 8});
      Add(layer + "self_attn.k_proj.weight", {4, 8});
      Add(layer + "self_attn.v_proj.weight", {4, 8});
      Add(layer + "self_attn.o_proj.weight", {8, 8});
      Add(layer + "post_attention_layernorm.weight", {8});
      Add(layer + "mlp.gate_proj.weight", {12, 8});
      Add(layer + "mlp.up_proj.weight", {12, 8});
      Add(layer + "mlp.down_proj.weight", {8, 12});
    }
  }

  void Add(std::string name, std::initializer_list<int64_t> shape) {
    names_.push_back(std::move(name));
    tensors_.push_back({names_.back(), Format::kF32, Shape(shape), {}, "F32"});
  }
  TensorView& At(std::string_view name) {
    return *std::find_if(tensors_.begin(), tensors_.end(),
                         [&](const TensorView& tensor) { return tensor.name == name; });
  }
  void Erase(std::string_view name) {
    std::erase_if(tensors_, [&](const TensorView& tensor) { return tensor.name == name; });
  }
  TensorMap Map() const {
    return MapTensors(spec_, LlamaArchitecture().tensor_rules, TensorNaming::kHuggingFace,
                      tensors_);
  }
  std::string Refusal(ErrorCode code) const {
    try {
      Map();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      return error.message();
    }
    return "accepted";
  }

  DecoderSpec spec_;
  std::deque<std::string> names_;
  std::vector<TensorView> tensors_;
};

TEST_F(TensorMapTest, FindsEveryPlace) {
  const TensorMap map = Map();
  EXPECT_EQ(map.Get(TensorSlot::kEmbedding)->name, "model.embed_tokens.weight");
  EXPECT_EQ(map.Get(TensorSlot::kHead)->name, "lm_head.weight");
  EXPECT_EQ(map.Get(TensorSlot::kDown, 1)->name, "model.layers.1.mlp.down_proj.weight");
  EXPECT_EQ(map.Get(TensorSlot::kQueryBias, 1), nullptr);
  EXPECT_EQ(map.Get(TensorSlot::kRopeFactors), nullptr);
}

TEST_F(TensorMapTest, NamesWhatIsMissing) {
  Erase("model.layers.1.self_attn.k_proj.weight");
  EXPECT_THAT(Refusal(ErrorCode::kCorrupt),
              AllOf(HasSubstr("dir, config.json"),
                    HasSubstr("missing: 'model.layers.1.self_attn.k_proj.weight'"),
                    Not(HasSubstr("not expected"))));
  spec_.num_layers = 40;
  EXPECT_THAT(Refusal(ErrorCode::kCorrupt), HasSubstr("and 339 more"));  // 38 · 9 + 1 − 4
}

TEST_F(TensorMapTest, NamesWhatIsNotExpected) {
  Add("model.layers.2.mlp.up_proj.weight", {12, 8});
  Add("model.layers.0.self_attn.q_proj.bias", {8});
  EXPECT_THAT(Refusal(ErrorCode::kCorrupt),
              HasSubstr("not expected: 'model.layers.2.mlp.up_proj.weight', "
                        "'model.layers.0.self_attn.q_proj.bias'"));
}

TEST_F(TensorMapTest, NamesAShapeAndWhereTheExpectedOneComesFrom) {
  At("model.layers.0.self_attn.q_proj.weight").shape = Shape{8, 4};
  EXPECT_THAT(Refusal(ErrorCode::kCorrupt),
              HasSubstr("tensor 'model.layers.0.self_attn.q_proj.weight' has shape [8, 4], config "
                        "needs [8, 8] (num_heads 2 × head_dim 4, model_dim 8)"));
}

TEST_F(TensorMapTest, RefusesAFormatThatCannotBeRead) {
  TensorView& tensor = At("lm_head.weight");
  tensor.format = Format::kUnsupported;
  tensor.source_type = "IQ2_XXS";
  EXPECT_THAT(Refusal(ErrorCode::kUnsupported),
              AllOf(HasSubstr("'lm_head.weight'"), HasSubstr("IQ2_XXS")));
  tensor.format = Format::kI32;
  EXPECT_THAT(Refusal(ErrorCode::kUnsupported), HasSubstr("'lm_head.weight'"));
}

TEST_F(TensorMapTest, IgnoresWhatFollowsFromTheConfig) {
  Add("model.layers.0.self_attn.rotary_emb.inv_freq", {2});
  Add("model.rotary_emb.inv_freq", {99});
  spec_.tied_embeddings = true;  // the copy of the embedding is not looked at
  EXPECT_EQ(Map().Get(TensorSlot::kHead), nullptr);
}

// GGUF alone has factors of the frequencies: one of each pair that is rotated.
TEST_F(TensorMapTest, RopeFactorsAreAsManyAsTheFrequencies) {
  spec_.num_layers = 1;
  spec_.tied_embeddings = true;
  const auto map = [&](int64_t num_factors) {
    tensors_.clear();
    Add("token_embd.weight", {32, 8});
    Add("output_norm.weight", {8});
    Add("blk.0.attn_norm.weight", {8});
    Add("blk.0.attn_q.weight", {8, 8});
    Add("blk.0.attn_k.weight", {4, 8});
    Add("blk.0.attn_v.weight", {4, 8});
    Add("blk.0.attn_output.weight", {8, 8});
    Add("blk.0.ffn_norm.weight", {8});
    Add("blk.0.ffn_gate.weight", {12, 8});
    Add("blk.0.ffn_up.weight", {12, 8});
    Add("blk.0.ffn_down.weight", {8, 12});
    Add("rope_freqs.weight", {num_factors});
    return MapTensors(spec_, LlamaArchitecture().tensor_rules, TensorNaming::kGguf, tensors_);
  };
  EXPECT_EQ(map(2).Get(TensorSlot::kRopeFactors)->name, "rope_freqs.weight");
  EXPECT_THROW(map(4), Error);
}

TEST_F(TensorMapTest, WantsTheBiasesThatTheSpecHas) {
  spec_.mlp_bias = true;
  EXPECT_THAT(Refusal(ErrorCode::kCorrupt), HasSubstr("'model.layers.0.mlp.gate_proj.bias'"));
  for (const std::string layer : {"model.layers.0.mlp.", "model.layers.1.mlp."}) {
    Add(layer + "gate_proj.bias", {12});
    Add(layer + "up_proj.bias", {12});
    Add(layer + "down_proj.bias", {8});
  }
  EXPECT_EQ(Map().Get(TensorSlot::kDownBias, 1)->shape, Shape{8});
}

}  // namespace
}  // namespace retort
