#pragma once

#include <string>
#include <vector>

#include "retort/models/decoder_spec.h"
#include "retort/models/tensor_map.h"

namespace retort {

class Checkpoint;

// The spec of a checkpoint, by the architecture it names: needs no device and reads no weights.
// Throws Error{kUnsupported} naming an architecture that is not in the list (and those that are) or
// a quantised checkpoint this build cannot read, {kInvalid} naming file and key for a config that
// is incomplete or contradicts itself.
DecoderSpec ReadDecoderSpec(const Checkpoint& checkpoint);

// The checkpoint's tensors in the places `spec` (which was read from it) has for them. Throws as
// MapTensors does.
TensorMap MapCheckpoint(const Checkpoint& checkpoint, const DecoderSpec& spec);

// Names that ReadDecoderSpec knows, Hugging Face's then GGUF's, for messages and `retort inspect`.
std::vector<std::string> KnownArchitectures();

}  // namespace retort
