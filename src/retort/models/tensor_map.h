#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "retort/models/decoder_spec.h"
#include "retort/tensor/tensor_view.h"

namespace retort {

// Where a tensor goes in the decoder. Those before kAttentionNorm are there once, the others in
// every layer.
enum class TensorSlot {
  kEmbedding,            // [V, E]
  kFinalNorm,            // [E]
  kHead,                 // [V, E], absent if tied
  kRopeFactors,          // [rotary_dim / 2], may be absent
  kAttentionNorm,        // [E]
  kQuery,                // [H·D, E]
  kKey,                  // [G·D, E]
  kValue,                // [G·D, E]
  kAttentionOutput,      // [E, H·D]
  kFfnNorm,              // [E]
  kGate,                 // [F, E]
  kUp,                   // [F, E]
  kDown,                 // [E, F]
  kQueryBias,            // [H·D], as the spec says
  kKeyBias,              // [G·D]
  kValueBias,            // [G·D]
  kAttentionOutputBias,  // [E]
  kGateBias,             // [F]
  kUpBias,               // [F]
  kDownBias,             // [E]
  kIgnored,              // known, and computed or not needed here
};

inline constexpr int kNumTensorSlots = static_cast<int>(TensorSlot::kIgnored);

// A line of an architecture's name map. '#' in a name stands for the layer's number.
struct TensorRule {
  TensorSlot slot;
  std::string_view hf_name;    // "": not in Hugging Face files
  std::string_view gguf_name;  // "": not in GGUF files
};

enum class TensorNaming { kHuggingFace, kGguf };

// The tensors of one checkpoint by place; nullptr where the spec asks for none.
class TensorMap {
 public:
  const TensorView* Get(TensorSlot slot) const { return Get(slot, 0); }
  const TensorView* Get(TensorSlot slot, int layer) const;

 private:
  friend TensorMap MapTensors(const DecoderSpec&, std::span<const TensorRule>, TensorNaming,
                              std::span<const TensorView>);
  std::vector<const TensorView*> tensors_;  // [L or 1, kNumTensorSlots]
};

// Finds a tensor for every place `spec` has, and a place for every tensor. `tensors` must outlive
// the map. Throws Error{kCorrupt} that names spec.source and the tensors which are missing, unknown
// or of another shape (the first few of each, and how many), with the shape found, the shape
// expected and the config values it follows from; {kUnsupported} for a storage format that cannot
// be decoded.
TensorMap MapTensors(const DecoderSpec& spec, std::span<const TensorRule> rules,
                     TensorNaming naming, std::span<const TensorView> tensors);

// Whether `tensors` has one of this name.
bool HasTensor(std::span<const TensorView> tensors, std::string_view name);

}  // namespace retort
