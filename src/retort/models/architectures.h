#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "retort/models/decoder_spec.h"

namespace retort {

class Checkpoint;

// The spec of a checkpoint, by its architecture: needs no device and reads no weights. Throws as
// Decoder::Load does.
DecoderSpec ReadDecoderSpec(const Checkpoint& checkpoint);

// Names that ReadDecoderSpec knows, Hugging Face's and GGUF's, for messages and `retort inspect`.
std::vector<std::string> KnownArchitectures();

}  // namespace retort
