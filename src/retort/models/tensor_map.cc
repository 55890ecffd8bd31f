#include "retort/models/tensor_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>

#include "retort/base/error.h"

namespace retort {
namespace {

constexpr size_t kNamesShownMax = 4;

bool IsPerLayer(TensorSlot slot) { return slot >= TensorSlot::kAttentionNorm; }

size_t Index(TensorSlot slot, int layer) {
  return static_cast<size_t>(layer) * kNumTensorSlots + static_cast<size_t>(slot);
}

std::string NameOf(std::string_view pattern, int layer) {
  const size_t mark = pattern.find('#');
  if (mark == std::string_view::npos) return std::string(pattern);
  return fmt::format("{}{}{}", pattern.substr(0, mark), layer, pattern.substr(mark + 1));
}

struct ExpectedShape {
  Shape shape;
  std::string reason;
};

ExpectedShape ShapeOf(TensorSlot slot, const DecoderSpec& spec) {
  const std::string dim = fmt::format("model_dim {}", spec.model_dim);
  const std::string ffn = fmt::format("ffn_dim {}", spec.ffn_dim);
  const std::string vocab = fmt::format("vocab_size {}", spec.vocab_size);
  const std::string query =
      fmt::format("num_heads {} × head_dim {}", spec.num_heads, spec.head_dim);
  const std::string kv =
      fmt::format("num_kv_heads {} × head_dim {}", spec.num_kv_heads, spec.head_dim);
  switch (slot) {
    case TensorSlot::kEmbedding:
    case TensorSlot::kHead:
      return {{spec.vocab_size, spec.model_dim}, vocab + ", " + dim};
    case TensorSlot::kFinalNorm:
    case TensorSlot::kAttentionNorm:
    case TensorSlot::kFfnNorm:
    case TensorSlot::kAttentionOutputBias:
    case TensorSlot::kDownBias:
      return {{spec.model_dim}, dim};
    case TensorSlot::kRopeFactors:
      return {{spec.rope.rotary_dim / 2}, fmt::format("rotary_dim {} / 2", spec.rope.rotary_dim)};
    case TensorSlot::kQuery:
      return {{spec.query_dim(), spec.model_dim}, query + ", " + dim};
    case TensorSlot::kKey:
    case TensorSlot::kValue:
      return {{spec.kv_dim(), spec.model_dim}, kv + ", " + dim};
    case TensorSlot::kAttentionOutput:
      return {{spec.model_dim, spec.query_dim()}, dim + ", " + query};
    case TensorSlot::kGate:
    case TensorSlot::kUp:
      return {{spec.ffn_dim, spec.model_dim}, ffn + ", " + dim};
    case TensorSlot::kDown:
      return {{spec.model_dim, spec.ffn_dim}, dim + ", " + ffn};
    case TensorSlot::kQueryBias:
      return {{spec.query_dim()}, query};
    case TensorSlot::kKeyBias:
    case TensorSlot::kValueBias:
      return {{spec.kv_dim()}, kv};
    case TensorSlot::kGateBias:
    case TensorSlot::kUpBias:
      return {{spec.ffn_dim}, ffn};
    case TensorSlot::kIgnored:
      break;
  }
  Throw(ErrorCode::kInternal, "no shape for tensor slot {}", static_cast<int>(slot));
}

enum class Presence { kNeeded, kOptional, kIgnored, kUnexpected };

Presence PresenceOf(TensorSlot slot, const DecoderSpec& spec) {
  const auto needed_if = [](bool condition) {
    return condition ? Presence::kNeeded : Presence::kUnexpected;
  };
  switch (slot) {
    case TensorSlot::kHead:  // files with tied embeddings often carry the copy all the same
      return spec.tied_embeddings ? Presence::kIgnored : Presence::kNeeded;
    case TensorSlot::kRopeFactors:
      return Presence::kOptional;
    case TensorSlot::kQueryBias:
    case TensorSlot::kKeyBias:
    case TensorSlot::kValueBias:
      return needed_if(spec.qkv_bias);
    case TensorSlot::kAttentionOutputBias:
      return needed_if(spec.attention_output_bias);
    case TensorSlot::kGateBias:
    case TensorSlot::kUpBias:
    case TensorSlot::kDownBias:
      return needed_if(spec.mlp_bias);
    case TensorSlot::kIgnored:
      return Presence::kIgnored;
    default:
      return Presence::kNeeded;
  }
}

// The first few of `names`, and how many there are.
std::string Listed(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kNamesShownMax); ++i) {
    text += fmt::format("{}'{}'", i == 0 ? "" : ", ", names[i]);
  }
  if (names.size() > kNamesShownMax)
    text += fmt::format(" and {} more", names.size() - kNamesShownMax);
  return text;
}

void CheckTensor(const TensorView& tensor, TensorSlot slot, const DecoderSpec& spec) {
  const ExpectedShape expected = ShapeOf(slot, spec);
  if (tensor.shape != expected.shape) {
    Throw(ErrorCode::kCorrupt, "{}: tensor '{}' has shape {}, config needs {} ({})", spec.source,
          tensor.name, tensor.shape.ToString(), expected.shape.ToString(), expected.reason);
  }
  if (Info(tensor.format).decode == nullptr) {
    Throw(ErrorCode::kUnsupported, "{}: tensor '{}' is stored as {}, which this build cannot read",
          spec.source, tensor.name, tensor.source_type);
  }
}

}  // namespace

const TensorView* TensorMap::Get(TensorSlot slot, int layer) const {
  return tensors_.at(Index(slot, layer));
}

TensorMap MapTensors(const DecoderSpec& spec, std::span<const TensorRule> rules,
                     TensorNaming naming, std::span<const TensorView> tensors) {
  struct Place {
    TensorSlot slot;
    int layer;
  };
  std::unordered_map<std::string, Place> places;
  for (const TensorRule& rule : rules) {
    const std::string_view pattern = naming == TensorNaming::kGguf ? rule.gguf_name : rule.hf_name;
    if (pattern.empty()) continue;
    const bool per_layer = pattern.find('#') != std::string_view::npos;
    for (int layer = 0; layer < (per_layer ? spec.num_layers : 1); ++layer) {
      places.emplace(NameOf(pattern, layer), Place{rule.slot, layer});
    }
  }

  TensorMap map;
  map.tensors_.resize(Index(TensorSlot::kEmbedding, spec.num_layers), nullptr);
  std::vector<std::string> unknown;
  for (const TensorView& tensor : tensors) {
    const auto place = places.find(std::string(tensor.name));
    const Presence presence =
        place == places.end() ? Presence::kUnexpected : PresenceOf(place->second.slot, spec);
    if (presence == Presence::kIgnored) continue;
    if (presence == Presence::kUnexpected) {
      unknown.emplace_back(tensor.name);
      continue;
    }
    CheckTensor(tensor, place->second.slot, spec);
    map.tensors_[Index(place->second.slot, place->second.layer)] = &tensor;
  }

  std::vector<std::string> missing;
  for (const TensorRule& rule : rules) {
    const std::string_view pattern = naming == TensorNaming::kGguf ? rule.gguf_name : rule.hf_name;
    if (pattern.empty() || PresenceOf(rule.slot, spec) != Presence::kNeeded) continue;
    for (int layer = 0; layer < (IsPerLayer(rule.slot) ? spec.num_layers : 1); ++layer) {
      if (map.Get(rule.slot, layer) == nullptr) missing.push_back(NameOf(pattern, layer));
    }
  }
  if (missing.empty() && unknown.empty()) return map;
  std::string message = fmt::format("{}: the tensors are not those of a {} with {} layers",
                                    spec.source, spec.architecture, spec.num_layers);
  if (!missing.empty()) message += "; missing: " + Listed(missing);
  if (!unknown.empty()) message += "; not expected: " + Listed(unknown);
  throw Error(ErrorCode::kCorrupt, message);
}

bool HasTensor(std::span<const TensorView> tensors, std::string_view name) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const TensorView& tensor) { return tensor.name == name; });
}

}  // namespace retort
