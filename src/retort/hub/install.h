#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace retort {

// Where a model of that name lives when it is complete: home/models/NAME. Throws Error{kInvalid} if
// the name could leave that folder: it is one or two parts of letters, digits, '.', '_', '-' (and
// ':' in the last), not beginning with a dot.
std::filesystem::path InstallDirectory(const std::filesystem::path& home, std::string_view name);

// The right to install one model: holds a lock against other processes and threads, and a folder
// for what is partly there. What is in the folder outlives a killed process, so files can be
// resumed; Commit makes the folder the installed model by one rename.
class Installation {
 public:
  // Waits for the lock. Throws Error{kIo}.
  Installation(const std::filesystem::path& home, std::string_view name);
  ~Installation();
  Installation(const Installation&) = delete;
  Installation& operator=(const Installation&) = delete;

  // True if the model is there already: there is nothing to do.
  bool IsComplete() const;
  const std::filesystem::path& directory() const { return directory_; }
  // The folder to fill; exists.
  const std::filesystem::path& partial() const { return partial_; }
  // Makes partial() durable and renames it to directory(), which it returns.
  std::filesystem::path Commit();

 private:
  std::filesystem::path directory_;
  std::filesystem::path partial_;
  int lock_ = -1;
};

}  // namespace retort
