#include <algorithm>
#include <array>
#include <cmath>

#include "retort/base/error.h"
#include "retort/models/architecture.h"
#include "retort/models/config_reader.h"
#include "retort/models/rope_config.h"

// Llama 1 to 3 and what shares its block: pre-norm RMSNorm, grouped-query attention with RoPE, a
// SwiGLU feed-forward. Touvron et al. 2023 (arXiv:2302.13971), Grattafiori et al. 2024
// (arXiv:2407.21783). GGUF files of Mistral say "llama" too.
namespace retort {
namespace {

// Wide bounds here, so that a value fits its type; Validate says what makes sense.
constexpr int64_t kIntMax = INT32_MAX;

constexpr std::array<TensorRule, 23> kTensorRules = {{
    {TensorSlot::kEmbedding, "model.embed_tokens.weight", "token_embd.weight"},
    {TensorSlot::kFinalNorm, "model.norm.weight", "output_norm.weight"},
    {TensorSlot::kHead, "lm_head.weight", "output.weight"},
    {TensorSlot::kRopeFactors, "", "rope_freqs.weight"},
    {TensorSlot::kAttentionNorm, "model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight"},
    {TensorSlot::kQuery, "model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight"},
    {TensorSlot::kKey, "model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight"},
    {TensorSlot::kValue, "model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight"},
    {TensorSlot::kAttentionOutput, "model.layers.#.self_attn.o_proj.weight",
     "blk.#.attn_output.weight"},
    {TensorSlot::kFfnNorm, "model.layers.#.post_attention_layernorm.weight",
     "blk.#.ffn_norm.weight"},
    {TensorSlot::kGate, "model.layers.#.mlp.gate_proj.weight", "blk.#.ffn_gate.weight"},
    {TensorSlot::kUp, "model.layers.#.mlp.up_proj.weight", "blk.#.ffn_up.weight"},
    {TensorSlot::kDown, "model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight"},
    {TensorSlot::kQueryBias, "model.layers.#.self_attn.q_proj.bias", "blk.#.attn_q.bias"},
    {TensorSlot::kKeyBias, "model.layers.#.self_attn.k_proj.bias", "blk.#.attn_k.bias"},
    {TensorSlot::kValueBias, "model.layers.#.self_attn.v_proj.bias", "blk.#.attn_v.bias"},
    {TensorSlot::kAttentionOutputBias, "model.layers.#.self_attn.o_proj.bias",
     "blk.#.attn_output.bias"},
    {TensorSlot::kGateBias, "model.layers.#.mlp.gate_proj.bias", "blk.#.ffn_gate.bias"},
    {TensorSlot::kUpBias, "model.layers.#.mlp.up_proj.bias", "blk.#.ffn_up.bias"},
    {TensorSlot::kDownBias, "model.layers.#.mlp.down_proj.bias", "blk.#.ffn_down.bias"},
    // Frequencies that old files store; they follow from the config.
    {TensorSlot::kIgnored, "model.layers.#.self_attn.rotary_emb.inv_freq",
     "blk.#.attn_rot_embd.weight"},
    {TensorSlot::kIgnored, "model.rotary_emb.inv_freq", ""},
    {TensorSlot::kIgnored, "rotary_emb.inv_freq", ""},
}};

Activation ActivationOf(const ConfigReader& config, const std::string& name) {
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::kGeluTanh;
  if (name == "gelu") return Activation::kGeluErf;
  Throw(ErrorCode::kUnsupported,
        "{}: hidden_act '{}' is not known; known: silu, gelu, "
        "gelu_pytorch_tanh",
        config.source(), name);
}

// Ids outside the vocabulary are left out: published configs use -1 for "none".
void AddEndTokens(const std::vector<int64_t>& ids, DecoderSpec& spec) {
  for (const int64_t id : ids) {
    if (id >= 0) spec.eos_token_ids.push_back(static_cast<int32_t>(id));
  }
  std::sort(spec.eos_token_ids.begin(), spec.eos_token_ids.end());
  spec.eos_token_ids.erase(std::unique(spec.eos_token_ids.begin(), spec.eos_token_ids.end()),
                           spec.eos_token_ids.end());
}

// D when the file does not say: E / H, which must be whole.
int64_t ImpliedHeadDim(const ConfigReader& config, const DecoderSpec& spec) {
  if (spec.num_heads < 1 || spec.model_dim % spec.num_heads != 0) {
    Throw(ErrorCode::kInvalid,
          "{}: model_dim {} is not divisible by {} heads, and no head_dim is "
          "given",
          config.source(), spec.model_dim, spec.num_heads);
  }
  return spec.model_dim / spec.num_heads;
}

DecoderSpec FromHfConfig(const Json& config_json, const Json& generation_json,
                         const std::string& source) {
  const ConfigReader config(config_json, source + ", config.json");
  const ConfigReader generation(generation_json, source + ", generation_config.json");
  DecoderSpec spec;
  spec.source = config.source();
  spec.model_dim = config.Int("hidden_size", 1, kIntMax);
  spec.ffn_dim = config.Int("intermediate_size", 1, kIntMax);
  spec.num_layers = static_cast<int>(config.Int("num_hidden_layers", 1, kIntMax));
  spec.num_heads = static_cast<int>(config.Int("num_attention_heads", 1, kIntMax));
  spec.num_kv_heads =
      static_cast<int>(config.IntOr("num_key_value_heads", spec.num_heads, 1, kIntMax));
  const int64_t head_dim =
      config.Has("head_dim") ? config.Int("head_dim", 1, kIntMax) : ImpliedHeadDim(config, spec);
  spec.head_dim = static_cast<int>(head_dim);
  spec.vocab_size = config.Int("vocab_size", 1, kIntMax);
  spec.context_tokens_max = config.IntOr("max_position_embeddings", 2048, 1, kIntMax);
  spec.norm_epsilon = static_cast<float>(config.FloatOr("rms_norm_eps", 1e-6));
  spec.activation = ActivationOf(config, config.StringOr("hidden_act", "silu"));
  spec.attention_scale = 1.0f / std::sqrt(static_cast<float>(spec.head_dim));
  spec.qkv_bias = config.BoolOr("attention_bias", false);
  spec.attention_output_bias = spec.qkv_bias;
  spec.mlp_bias = config.BoolOr("mlp_bias", false);
  spec.tied_embeddings = config.BoolOr("tie_word_embeddings", false);
  spec.rope = RopeFromHf(config, spec.head_dim);

  const ConfigReader& bos_source = generation.Has("bos_token_id") ? generation : config;
  const std::vector<int64_t> bos = bos_source.IntList("bos_token_id", -1, kIntMax);
  if (!bos.empty()) spec.bos_token_id = static_cast<int32_t>(bos.front());
  AddEndTokens(config.IntList("eos_token_id", -1, kIntMax), spec);
  AddEndTokens(generation.IntList("eos_token_id", -1, kIntMax), spec);
  return spec;
}

DecoderSpec FromGguf(const Json& metadata, std::span<const TensorView> tensors,
                     const std::string& source) {
  const ConfigReader general(metadata, source);
  const ConfigReader arch = general.WithPrefix("llama.");
  if (arch.IntOr("expert_count", 0, 0, kIntMax) > 0) {
    Throw(ErrorCode::kUnsupported, "{}: a mixture of {} experts is not supported yet", source,
          arch.Int("expert_count", 0, kIntMax));
  }
  DecoderSpec spec;
  spec.source = source;
  spec.model_dim = arch.Int("embedding_length", 1, kIntMax);
  spec.ffn_dim = arch.Int("feed_forward_length", 1, kIntMax);
  spec.num_layers = static_cast<int>(arch.Int("block_count", 1, kIntMax));
  spec.num_heads = static_cast<int>(arch.Int("attention.head_count", 1, kIntMax));
  spec.num_kv_heads =
      static_cast<int>(arch.IntOr("attention.head_count_kv", spec.num_heads, 1, kIntMax));
  const int64_t head_dim = arch.Has("attention.key_length")
                               ? arch.Int("attention.key_length", 1, kIntMax)
                               : ImpliedHeadDim(arch, spec);
  spec.head_dim = static_cast<int>(head_dim);
  if (arch.IntOr("attention.value_length", head_dim, 1, kIntMax) != head_dim) {
    Throw(ErrorCode::kUnsupported, "{}: attention.value_length {} differs from key_length {}",
          source, arch.Int("attention.value_length", 1, kIntMax), head_dim);
  }
  const int64_t num_tokens = general.ArraySize("tokenizer.ggml.tokens");
  spec.vocab_size = num_tokens > 0 ? arch.IntOr("vocab_size", num_tokens, 1, kIntMax)
                                   : arch.Int("vocab_size", 1, kIntMax);
  spec.context_tokens_max = arch.Int("context_length", 1, kIntMax);
  spec.norm_epsilon = static_cast<float>(arch.Float("attention.layer_norm_rms_epsilon"));
  spec.attention_scale = static_cast<float>(
      arch.FloatOr("attention.scale", 1.0 / std::sqrt(static_cast<double>(spec.head_dim))));
  spec.qkv_bias = HasTensor(tensors, "blk.0.attn_q.bias");
  spec.attention_output_bias = HasTensor(tensors, "blk.0.attn_output.bias");
  spec.mlp_bias = HasTensor(tensors, "blk.0.ffn_down.bias");
  spec.tied_embeddings = !HasTensor(tensors, "output.weight");
  spec.rope = RopeFromGguf(arch, spec.head_dim);

  const ConfigReader tokenizer = general.WithPrefix("tokenizer.ggml.");
  spec.bos_token_id = static_cast<int32_t>(tokenizer.IntOr("bos_token_id", -1, -1, kIntMax));
  for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    AddEndTokens(tokenizer.IntList(key, -1, kIntMax), spec);
  }
  return spec;
}

}  // namespace

const Architecture& LlamaArchitecture() {
  static constexpr Architecture kLlama = {"LlamaForCausalLM", "llama", FromHfConfig, FromGguf,
                                          kTensorRules};
  return kLlama;
}

}  // namespace retort
