#pragma once

#include <span>
#include <string_view>

#include "retort/base/json.h"
#include "retort/models/decoder_spec.h"
#include "retort/models/tensor_map.h"

namespace retort {

// What this build has to know about one architecture. One file each; architectures.cc lists them.
struct Architecture {
  std::string_view hf_name;    // an element of config.json's "architectures"; "": none
  std::string_view gguf_name;  // "general.architecture"; "": none
  // config.json, generation_config.json (an empty object if there is none), and what to call them.
  DecoderSpec (*from_hf)(const Json& config, const Json& generation_config,
                         const std::string& source);
  // All key-values of the file. `tensors` are its tensors: what GGUF does not say in metadata
  // (tied embeddings, biases) is told by which of them are there.
  DecoderSpec (*from_gguf)(const Json& metadata, std::span<const TensorView> tensors,
                           const std::string& source);
  std::span<const TensorRule> tensor_rules;
};

// One function per file in this folder, each giving the row for architectures.cc.
const Architecture& LlamaArchitecture();

}  // namespace retort
