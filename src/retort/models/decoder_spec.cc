#include "retort/models/decoder_spec.h"

#include <cmath>

#include "retort/base/error.h"

namespace retort {
namespace {

// Far above any published decoder, and small enough that no product of two or three of them
// overflows 63 bits.
constexpr int64_t kLayersMax = 4096;
constexpr int64_t kDimMax = int64_t{1} << 20;
constexpr int64_t kHeadsMax = int64_t{1} << 14;
constexpr int64_t kHeadDimMax = int64_t{1} << 12;
constexpr int64_t kVocabMax = int64_t{1} << 24;
constexpr int64_t kContextMax = int64_t{1} << 30;  // exact positions in f32 end at 2^24: see rope

void CheckRange(const DecoderSpec& spec, const char* field, int64_t value, int64_t min,
                int64_t max) {
  if (value < min || value > max) {
    Throw(ErrorCode::kInvalid, "{}: {} is {}, expected {} to {}", spec.source, field, value, min,
          max);
  }
}

void CheckFloat(const DecoderSpec& spec, const char* field, double value, double above,
                double max) {
  if (!(value > above && value <= max)) {
    Throw(ErrorCode::kInvalid, "{}: {} is {}, expected more than {} and at most {}", spec.source,
          field, value, above, max);
  }
}

void ValidateRope(const DecoderSpec& spec) {
  const RopeParameters& rope = spec.rope;
  CheckRange(spec, "rotary_dim", rope.rotary_dim, 2, spec.head_dim);
  if (rope.rotary_dim % 2 != 0) {
    Throw(ErrorCode::kInvalid, "{}: rotary_dim is {}, expected an even number", spec.source,
          rope.rotary_dim);
  }
  CheckFloat(spec, "rope theta", rope.theta, 1.0, 1e15);
  if (rope.scaling == RopeScaling::kNone) return;
  CheckFloat(spec, "rope factor", rope.factor, 0.0, 1e6);
  if (rope.scaling == RopeScaling::kLinear) return;
  CheckRange(spec, "the context that rope scaling starts from", rope.original_context_tokens, 1,
             kContextMax);
  if (rope.scaling == RopeScaling::kDynamic) {
    CheckFloat(spec, "rope factor", rope.factor, 0.999999, 1e6);  // else the base would be negative
    CheckRange(spec, "rotary_dim with dynamic rope", rope.rotary_dim, 4, spec.head_dim);
  } else if (rope.scaling == RopeScaling::kLlama3) {
    CheckFloat(spec, "rope low_freq_factor", rope.low_freq_factor, 0.0, 1e6);
    CheckFloat(spec, "rope high_freq_factor", rope.high_freq_factor, rope.low_freq_factor, 1e6);
  } else if (rope.scaling == RopeScaling::kYarn) {
    CheckFloat(spec, "rope beta_slow", rope.beta_slow, 0.0, 1e6);
    CheckFloat(spec, "rope beta_fast", rope.beta_fast, 0.0, 1e6);
    CheckFloat(spec, "rope attention_factor", rope.attention_factor, -1e-9, 1e3);
    CheckFloat(spec, "rope mscale", rope.mscale, -1e-9, 1e3);
    CheckFloat(spec, "rope mscale_all_dim", rope.mscale_all_dim, -1e-9, 1e3);
  }
}

}  // namespace

void Validate(const DecoderSpec& spec) {
  CheckRange(spec, "num_layers", spec.num_layers, 1, kLayersMax);
  CheckRange(spec, "model_dim", spec.model_dim, 1, kDimMax);
  CheckRange(spec, "num_heads", spec.num_heads, 1, kHeadsMax);
  CheckRange(spec, "num_kv_heads", spec.num_kv_heads, 1, kHeadsMax);
  CheckRange(spec, "head_dim", spec.head_dim, 1, kHeadDimMax);
  CheckRange(spec, "ffn_dim", spec.ffn_dim, 1, kDimMax);
  CheckRange(spec, "vocab_size", spec.vocab_size, 1, kVocabMax);
  CheckRange(spec, "context_tokens_max", spec.context_tokens_max, 1, kContextMax);
  if (spec.num_heads % spec.num_kv_heads != 0) {
    Throw(ErrorCode::kInvalid, "{}: {} key/value heads do not divide {} query heads", spec.source,
          spec.num_kv_heads, spec.num_heads);
  }
  CheckFloat(spec, "norm_epsilon", spec.norm_epsilon, 0.0, 1.0);
  CheckFloat(spec, "attention_scale", spec.attention_scale, 0.0, 1e6);
  CheckFloat(spec, "embedding_scale", spec.embedding_scale, 0.0, 1e6);
  CheckRange(spec, "attention_window", spec.attention_window, 0, kContextMax);
  CheckRange(spec, "bos_token_id", spec.bos_token_id, -1, spec.vocab_size - 1);
  for (const int32_t id : spec.eos_token_ids) {
    CheckRange(spec, "an eos_token_id", id, 0, spec.vocab_size - 1);
  }
  ValidateRope(spec);
}

KvSpec MakeKvSpec(const DecoderSpec& spec, int num_pages, Format format) {
  KvSpec kv;
  kv.num_layers = spec.num_layers;
  kv.num_kv_heads = spec.num_kv_heads;
  kv.head_dim = spec.head_dim;
  kv.num_pages = num_pages;
  kv.format = format;
  return kv;
}

int64_t KvBytesPerToken(const DecoderSpec& spec, Format format) {
  return spec.num_layers * StoredBytes(format, 2 * spec.kv_dim());
}

ParameterCounts CountParameters(const DecoderSpec& spec) {
  const int64_t qkv = spec.query_dim() + 2 * spec.kv_dim();
  ParameterCounts counts;
  counts.embedding = spec.vocab_size * spec.model_dim;
  counts.layer = 2 * spec.model_dim + (qkv + spec.query_dim()) * spec.model_dim +
                 3 * spec.ffn_dim * spec.model_dim;
  if (spec.qkv_bias) counts.layer += qkv;
  if (spec.attention_output_bias) counts.layer += spec.model_dim;
  if (spec.mlp_bias) counts.layer += 2 * spec.ffn_dim + spec.model_dim;
  counts.final_norm = spec.model_dim;
  counts.head = spec.tied_embeddings ? 0 : counts.embedding;
  counts.total =
      counts.embedding + spec.num_layers * counts.layer + counts.final_norm + counts.head;
  return counts;
}

}  // namespace retort
