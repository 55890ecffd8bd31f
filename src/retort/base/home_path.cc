#include "retort/base/home_path.h"

#include <cstdlib>

#include "retort/base/error.h"

namespace retort {

std::filesystem::path ExpandHome(std::string_view path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') {
    Throw(ErrorCode::kNotFound, "'{}' starts at the home folder, but HOME is not set", path);
  }
  const std::string_view below = path.substr(1);
  return std::filesystem::path(home) / below.substr(below.empty() ? 0 : 1);
}

}  // namespace retort
