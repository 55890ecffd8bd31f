#include "retort/hub/install.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "retort/base/error.h"
#include "retort/base/file.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNameBytesMax = 96;

bool IsNamePart(std::string_view part, bool is_last) {
  const auto allowed = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || (is_last && c == ':');
  };
  return !part.empty() && part.front() != '.' && part.size() <= kNameBytesMax &&
         std::all_of(part.begin(), part.end(), allowed);
}

}  // namespace

fs::path InstallDirectory(const fs::path& home, std::string_view name) {
  const size_t slash = name.find('/');
  const bool valid = slash == std::string_view::npos ? IsNamePart(name, true)
                                                     : IsNamePart(name.substr(0, slash), false) &&
                                                           IsNamePart(name.substr(slash + 1), true);
  if (!valid) {
    Throw(ErrorCode::kInvalid, "'{}' is no model name: expected NAME, ORG/NAME or ORG/NAME:PART",
          name);
  }
  return home / "models" / name;
}

Installation::Installation(const fs::path& home, std::string_view name)
    : directory_(InstallDirectory(home, name)) {
  std::string flat(name);
  std::replace(flat.begin(), flat.end(), '/', '+');  // '+' is in no name, so no two names meet
  const fs::path work = home / "models" / ".partial";
  partial_ = work / flat;
  const fs::path lock_path = work / (flat + "+lock");
  try {
    fs::create_directories(partial_);
  } catch (const fs::filesystem_error& error) {
    Throw(ErrorCode::kIo, "cannot create '{}': {}", partial_.string(), error.code().message());
  }
  // The lock file stays: removing it would let two processes lock two files of one name.
  lock_ = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  int result = -1;
  if (lock_ >= 0) {
    do {
      result = ::flock(lock_, LOCK_EX);
    } while (result != 0 && errno == EINTR);
  }
  if (result != 0) {
    const int reason = errno;
    if (lock_ >= 0) ::close(lock_);
    Throw(ErrorCode::kIo, "cannot lock '{}': {}", lock_path.string(), std::strerror(reason));
  }
  std::error_code ignored;  // whoever held the lock may have renamed it away; reported when used
  fs::create_directories(partial_, ignored);
}

Installation::~Installation() {
  std::error_code ignored;
  if (IsComplete()) fs::remove_all(partial_, ignored);
  ::close(lock_);
}

bool Installation::IsComplete() const {
  std::error_code ignored;
  return fs::is_directory(directory_, ignored);
}

fs::path Installation::Commit() {
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(partial_))
      SyncPath(entry.path());
    SyncPath(partial_);
    const fs::path parent = directory_.parent_path();
    fs::create_directories(parent);
    fs::rename(partial_, directory_);
    SyncPath(parent);
    SyncPath(parent.parent_path());  // which names the folder of an organisation
  } catch (const fs::filesystem_error& error) {
    Throw(ErrorCode::kIo, "cannot install '{}': {}", directory_.string(), error.code().message());
  }
  return directory_;
}

}  // namespace retort
