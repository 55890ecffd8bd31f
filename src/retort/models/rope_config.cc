#include "retort/models/rope_config.h"

#include <cmath>

#include "retort/base/error.h"

namespace retort {
namespace {

constexpr double kDefaultTheta = 10000.0;
constexpr int64_t kContextMax = int64_t{1} << 30;

RopeScaling ScalingOf(const ConfigReader& config, const std::string& name) {
  if (name.empty() || name == "default" || name == "none") return RopeScaling::kNone;
  if (name == "linear") return RopeScaling::kLinear;
  if (name == "dynamic") return RopeScaling::kDynamic;
  if (name == "llama3") return RopeScaling::kLlama3;
  if (name == "yarn") return RopeScaling::kYarn;
  Throw(ErrorCode::kUnsupported,
        "{}: rope scaling '{}' is not known; known: default, linear, dynamic, llama3, yarn",
        config.source(), name);
}

int RotaryDim(int head_dim, double fraction) {
  const double dim = std::trunc(head_dim * fraction);
  return dim >= 0.0 && dim <= head_dim ? static_cast<int>(dim) : -1;  // Validate names it
}

void ReadHfScaling(const ConfigReader& config, const ConfigReader& rope_config,
                   RopeParameters& rope) {
  const std::string name = rope_config.StringOr("rope_type", rope_config.StringOr("type", ""));
  rope.scaling = ScalingOf(config, name);
  if (rope.scaling == RopeScaling::kNone) return;
  const int64_t context = config.IntOr("max_position_embeddings", 2048, 1, kContextMax);
  const bool stated = rope_config.Has("original_max_position_embeddings");
  rope.original_context_tokens =
      stated ? rope_config.Int("original_max_position_embeddings", 1, kContextMax)
             : config.IntOr("original_max_position_embeddings", context, 1, kContextMax);
  const double stretch =
      static_cast<double>(context) / static_cast<double>(rope.original_context_tokens);
  const bool implied = rope.scaling == RopeScaling::kYarn && stated;
  rope.factor = implied ? rope_config.FloatOr("factor", stretch) : rope_config.Float("factor");
  if (rope.scaling == RopeScaling::kLlama3) {
    rope.low_freq_factor = rope_config.Float("low_freq_factor");
    rope.high_freq_factor = rope_config.Float("high_freq_factor");
  } else if (rope.scaling == RopeScaling::kYarn) {
    rope.beta_fast = rope_config.FloatOr("beta_fast", 32.0);
    rope.beta_slow = rope_config.FloatOr("beta_slow", 1.0);
    rope.truncate = rope_config.BoolOr("truncate", true);
    rope.attention_factor = rope_config.FloatOr("attention_factor", 0.0);
    rope.mscale = rope_config.FloatOr("mscale", 0.0);
    rope.mscale_all_dim = rope_config.FloatOr("mscale_all_dim", 0.0);
  }
}

}  // namespace

RopeParameters RopeFromHf(const ConfigReader& config, int head_dim) {
  RopeParameters rope;
  rope.theta = config.FloatOr("rope_theta", kDefaultTheta);
  double fraction = config.FloatOr("partial_rotary_factor", 1.0);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (!config.Has(key)) continue;
    const ConfigReader rope_config = config.Object(key);
    rope.theta = rope_config.FloatOr("rope_theta", rope.theta);
    fraction = rope_config.FloatOr("partial_rotary_factor", fraction);
    ReadHfScaling(config, rope_config, rope);
    break;
  }
  rope.rotary_dim = RotaryDim(head_dim, fraction);
  return rope;
}

RopeParameters RopeFromGguf(const ConfigReader& arch, int head_dim) {
  RopeParameters rope;
  rope.interleaved = true;
  rope.theta = arch.FloatOr("rope.freq_base", kDefaultTheta);
  rope.rotary_dim = static_cast<int>(arch.IntOr("rope.dimension_count", head_dim, 1, head_dim));
  rope.scaling = ScalingOf(arch, arch.StringOr("rope.scaling.type", ""));
  if (rope.scaling == RopeScaling::kNone) {
    // Files older than "rope.scaling.type" have only a linear divisor.
    rope.factor = arch.FloatOr("rope.scale_linear", 1.0);
    if (rope.factor != 1.0) rope.scaling = RopeScaling::kLinear;
    return rope;
  }
  if (rope.scaling != RopeScaling::kLinear && rope.scaling != RopeScaling::kYarn) {
    Throw(ErrorCode::kUnsupported, "{}: rope scaling '{}' is not one that GGUF defines",
          arch.source(), arch.String("rope.scaling.type"));
  }
  rope.factor = arch.FloatOr("rope.scaling.factor", 1.0);
  if (rope.scaling == RopeScaling::kLinear) return rope;
  rope.original_context_tokens =
      arch.IntOr("rope.scaling.original_context_length", arch.Int("context_length", 1, kContextMax),
                 1, kContextMax);
  rope.beta_fast = arch.FloatOr("rope.scaling.yarn_beta_fast", 32.0);
  rope.beta_slow = arch.FloatOr("rope.scaling.yarn_beta_slow", 1.0);
  if (arch.Has("rope.scaling.attn_factor")) {  // multiplies YaRN's own
    const double own = rope.factor <= 1.0 ? 1.0 : 0.1 * std::log(rope.factor) + 1.0;
    rope.attention_factor = own * arch.Float("rope.scaling.attn_factor");
  }
  if (arch.FloatOr("rope.scaling.yarn_ext_factor", 1.0) != 1.0) {
    Throw(ErrorCode::kUnsupported, "{}: rope.scaling.yarn_ext_factor {} is not supported, only 1",
          arch.source(), arch.Float("rope.scaling.yarn_ext_factor"));
  }
  return rope;
}

}  // namespace retort
