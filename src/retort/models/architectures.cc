#include "retort/models/architectures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "retort/base/error.h"
#include "retort/checkpoint/checkpoint.h"
#include "retort/models/architecture.h"
#include "retort/models/config_reader.h"

namespace retort {
namespace {

// The list of architectures. Adding one: a file with its function, a line here, a test.
constexpr std::array kArchitectures = {
    &LlamaArchitecture,
};

// What a checkpoint calls its architecture: several names in a config.json, one in a GGUF.
std::vector<std::string> ArchitectureNames(const Checkpoint& checkpoint) {
  const std::string source = checkpoint.path().string();
  if (checkpoint.kind() == CheckpointKind::kGguf) {
    const Json& metadata = checkpoint.metadata();
    const auto type = metadata.find("general.type");
    if (type != metadata.end() && *type != "model") {
      Throw(ErrorCode::kUnsupported, "{} is no model, but of the type {} (general.type){}", source,
            DumpJson(*type),
            *type == "adapter" ? ": merge it into its base model and name the result" : "");
    }
    return {ConfigReader(metadata, source).String("general.architecture")};
  }
  const Json& metadata = checkpoint.metadata();
  if (!metadata.contains("config") || !metadata["config"].is_object()) {
    Throw(ErrorCode::kInvalid, "{}: config.json is needed to know the architecture", source);
  }
  const Json& config = metadata["config"];
  std::vector<std::string> names;
  if (config.contains("architectures") && config["architectures"].is_array()) {
    for (const Json& name : config["architectures"]) {
      if (name.is_string()) names.push_back(name.get<std::string>());
    }
  }
  if (names.empty()) {
    Throw(ErrorCode::kInvalid,
          "{}, config.json: 'architectures' must be a list with a name, such as \"{}\"", source,
          kArchitectures[0]().hf_name);
  }
  return names;
}

const Architecture& FindArchitecture(const Checkpoint& checkpoint) {
  const std::vector<std::string> names = ArchitectureNames(checkpoint);
  const bool gguf = checkpoint.kind() == CheckpointKind::kGguf;
  for (const auto& architecture : kArchitectures) {
    const std::string_view known = gguf ? architecture().gguf_name : architecture().hf_name;
    for (const std::string& name : names) {
      if (!known.empty() && name == known) return architecture();
    }
  }
  Throw(ErrorCode::kUnsupported, "{}: architecture '{}' is not known; known: {}",
        checkpoint.path().string(), fmt::join(names, "', '"),
        fmt::join(KnownArchitectures(), ", "));
}

void RefuseQuantizationConfig(const Json& config, const std::string& source) {
  const auto found = config.find("quantization_config");
  if (found == config.end() || found->is_null()) return;
  const ConfigReader quantization(*found, source + ", config.json, quantization_config");
  Throw(ErrorCode::kUnsupported, "{}: quantisation method '{}' is not supported yet",
        quantization.source(), quantization.StringOr("quant_method", "unnamed"));
}

}  // namespace

DecoderSpec ReadDecoderSpec(const Checkpoint& checkpoint) {
  const Architecture& architecture = FindArchitecture(checkpoint);
  const std::string source = checkpoint.path().string();
  const Json& metadata = checkpoint.metadata();
  DecoderSpec spec;
  if (checkpoint.kind() == CheckpointKind::kGguf) {
    spec = architecture.from_gguf(metadata, checkpoint.tensors(), source);
    spec.architecture = architecture.gguf_name;
  } else {
    RefuseQuantizationConfig(metadata["config"], source);
    const Json none = Json::object();
    const auto generation = metadata.find("generation_config");
    spec = architecture.from_hf(metadata["config"],
                                generation == metadata.end() ? none : *generation, source);
    spec.architecture = architecture.hf_name;
  }
  Validate(spec);
  return spec;
}

TensorMap MapCheckpoint(const Checkpoint& checkpoint, const DecoderSpec& spec) {
  const bool gguf = checkpoint.kind() == CheckpointKind::kGguf;
  return MapTensors(spec, FindArchitecture(checkpoint).tensor_rules,
                    gguf ? TensorNaming::kGguf : TensorNaming::kHuggingFace, checkpoint.tensors());
}

std::vector<std::string> KnownArchitectures() {
  std::vector<std::string> names;
  for (const auto& architecture : kArchitectures) {
    if (!architecture().hf_name.empty()) names.emplace_back(architecture().hf_name);
  }
  for (const auto& architecture : kArchitectures) {
    if (!architecture().gguf_name.empty()) names.emplace_back(architecture().gguf_name);
  }
  return names;
}

}  // namespace retort
