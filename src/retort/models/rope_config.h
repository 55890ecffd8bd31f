#pragma once

#include "retort/models/config_reader.h"
#include "retort/models/decoder_spec.h"

namespace retort {

// Rotary parameters of a config.json, in its newer spelling ("rope_parameters") or its older one
// ("rope_theta", "rope_scaling" with "rope_type" or "type"). Throws Error{kInvalid} for bad values,
// {kUnsupported} for a scaling this build does not know.
RopeParameters RopeFromHf(const ConfigReader& config, int head_dim);

// Rotary parameters of GGUF metadata; `arch` reads keys under the architecture's prefix. The pairs
// are neighbours (interleaved), as the format has them for Llama.
RopeParameters RopeFromGguf(const ConfigReader& arch, int head_dim);

}  // namespace retort
