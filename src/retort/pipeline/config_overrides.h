#pragma once

#include "retort/pipeline/config.h"

namespace retort {

// Writes the `--set` values into the tree of a pipeline file, as if they stood there. A path that
// leads nowhere is added to `problems`.
void ApplyOverrides(const ConfigOverrides& overrides, YamlNode& root, Problems& problems);

}  // namespace retort
