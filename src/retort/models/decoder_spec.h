#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "retort/backend/device.h"

// A decoder-only language model described as data: what an architecture's config says, in one
// vocabulary, whatever file it came from. The forward (decoder.h) is written once and reads only
// this. An architecture that needs something new adds a field whose default is "as Llama does".
namespace retort {

// How the rotary frequencies are stretched beyond the context the model was first trained on.
enum class RopeScaling {
  kNone,
  kLinear,   // all frequencies / factor (Chen et al. 2023, "Position Interpolation")
  kDynamic,  // the base grows with the sequence's length ("dynamic NTK")
  kLlama3,   // long wavelengths / factor, short ones kept, a ramp between (Llama 3.1)
  kYarn,  // ramp by rotations over the first context, and a softmax temperature (Peng et al. 2023)
};

struct RopeParameters {
  double theta = 10000.0;
  int rotary_dim = 0;        // values at the start of each head that are rotated; even
  bool interleaved = false;  // pairs (2i, 2i+1), as GGUF permutes Llama's rows; else (i, i + d/2)
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  int64_t original_context_tokens = 0;  // dynamic, llama3, yarn
  double low_freq_factor = 1.0;         // llama3
  double high_freq_factor = 4.0;        // llama3
  double beta_fast = 32.0;              // yarn: rotations above which a frequency is kept
  double beta_slow = 1.0;               // yarn: rotations below which it is divided by `factor`
  bool truncate = true;                 // yarn: the ramp's ends are rounded to whole dimensions
  double attention_factor = 0.0;        // yarn: of cosine and sine; 0: from mscale and factor
  double mscale = 0.0;                  // yarn; 0: not given
  double mscale_all_dim = 0.0;          // yarn; 0: not given
};

// Dimension letters as everywhere: L layers, E model_dim, H query heads, G key/value heads, D
// head_dim, F ffn_dim, V vocabulary.
struct DecoderSpec {
  std::string architecture;  // as the file says: "LlamaForCausalLM", "llama"
  std::string source;        // the file it was read from, for messages

  int num_layers = 0;              // L
  int64_t model_dim = 0;           // E
  int num_heads = 0;               // H
  int num_kv_heads = 0;            // G; divides H
  int head_dim = 0;                // D; H·D need not be E
  int64_t ffn_dim = 0;             // F
  int64_t vocab_size = 0;          // V: rows of the embedding and of the logits
  int64_t context_tokens_max = 0;  // what the checkpoint says it was made for

  float norm_epsilon = 1e-5f;
  Activation activation = Activation::kSilu;
  float attention_scale = 0.0f;  // of the scores; 1/√D
  int attention_window = 0;      // tokens a query sees, itself among them; 0: all
  float embedding_scale = 1.0f;
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool tied_embeddings = false;  // the head is the embedding table
  RopeParameters rope;

  // Control tokens, as config, generation config or GGUF metadata give them.
  int32_t bos_token_id = -1;           // -1: none
  std::vector<int32_t> eos_token_ids;  // any of them ends a text; ascending, no duplicates

  int64_t query_dim() const { return int64_t{num_heads} * head_dim; }
  int64_t kv_dim() const { return int64_t{num_kv_heads} * head_dim; }
};

// Throws Error{kInvalid} naming `source`, the field and what was expected, unless every size is
// positive and within the bounds the code counts on, G divides H, rotary_dim is even and at most D,
// and every float is finite and in range. Called by architectures' readers; idempotent.
void Validate(const DecoderSpec& spec);

// The rotation for every row of a step. Frequencies are computed in double and rounded to f32 where
// the reference implementation rounds, so that angles agree with it bit for bit or nearly.
// `factors` is a checkpoint's own table of divisors (GGUF "rope_freqs.weight"), rotary_dim / 2
// values, or empty.
RopeSpec MakeRopeSpec(const RopeParameters& rope, const std::vector<float>& factors);

// A cache of `num_pages` pages for all layers.
KvSpec MakeKvSpec(const DecoderSpec& spec, int num_pages, Format format);

// Bytes of one token's keys and values over all layers.
int64_t KvBytesPerToken(const DecoderSpec& spec, Format format);

// Values a model of this spec stores: embedding, head (0 if tied), one layer, final norm.
struct ParameterCounts {
  int64_t embedding = 0;
  int64_t layer = 0;
  int64_t final_norm = 0;
  int64_t head = 0;
  int64_t total = 0;
};
ParameterCounts CountParameters(const DecoderSpec& spec);

// Which positions' keys a prompt may share with another one's. 0 for nearly all models: keys depend
// on the tokens before them only. With dynamic RoPE a prompt longer than the first context is
// rotated for its own length, and its pages are good only for prompts of that length: put the
// number into the prefix cache's hash domain.
int64_t RopeDomain(const RopeParameters& rope, int64_t num_prompt_tokens);

}  // namespace retort
