#pragma once

#include <filesystem>
#include <string_view>

namespace retort {

// The path that a person wrote, with a leading "~/" (or "~" alone) replaced by $HOME, as a shell
// would have done had it seen the path. "~name" is left as it is. Throws Error{kNotFound} if HOME
// is not set.
std::filesystem::path ExpandHome(std::string_view path);

}  // namespace retort
