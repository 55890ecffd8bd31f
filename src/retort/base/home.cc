#include "retort/base/home.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "retort/base/error.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

fs::path Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Empty where there is none.
fs::path UserFolder() {
  if (fs::path home = Variable("HOME"); !home.empty()) return home;
  const passwd* user = ::getpwuid(::getuid());
  return user == nullptr || user->pw_dir == nullptr ? "" : user->pw_dir;
}

}  // namespace

fs::path DefaultHome() {
  if (fs::path home = Variable("RETORT_HOME"); !home.empty()) return home;
  if (const fs::path cache = Variable("XDG_CACHE_HOME"); cache.is_absolute()) {
    return cache / "retort";
  }
  if (const fs::path user = UserFolder(); !user.empty()) return user / ".cache" / "retort";
  Throw(ErrorCode::kNotFound, "no place for models and finished work: set RETORT_HOME or HOME");
}

fs::path ExpandTilde(const fs::path& path) {
  const std::string& text = path.native();
  if (!text.starts_with('~')) return path;
  if (text.size() > 1 && text[1] != '/') {
    Throw(ErrorCode::kInvalid,
          "'{}': only ~/ is understood, the user's own folder: write the "
          "whole path of another's",
          text);
  }
  const fs::path user = UserFolder();
  if (user.empty()) Throw(ErrorCode::kNotFound, "'{}': HOME is not set", text);
  return text.size() <= 2 ? user : user / text.substr(2);
}

}  // namespace retort
