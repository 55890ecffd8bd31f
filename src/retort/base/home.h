#pragma once

#include <filesystem>

namespace retort {

// The folder of pulled models and of the cache: $RETORT_HOME if it is set and not empty, else
// $XDG_CACHE_HOME/retort, else .cache/retort in the user's own folder ($HOME, or the one that the
// system knows for this user). Throws Error{kNotFound} where there is none of them.
std::filesystem::path DefaultHome();

// "~" and "~/x" in the user's own folder; any other path as it is. Throws Error{kNotFound} if there
// is no such folder, and Error{kInvalid} for another user's ("~name/x").
std::filesystem::path ExpandTilde(const std::filesystem::path& path);

}  // namespace retort
