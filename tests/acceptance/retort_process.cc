#include "tests/acceptance/retort_process.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace retort {

namespace fs = std::filesystem;

ScratchFolder::ScratchFolder() {
  std::string name = (fs::temp_directory_path() / "retort-acceptance-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  if (std::getenv("RETORT_KEEP_SCRATCH") != nullptr) return;
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string FileText(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void WriteText(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

RetortProcess::RetortProcess(const std::vector<std::string>& arguments, fs::path output,
                             size_t file_bytes_max)
    : output_(std::move(output)) {
  std::vector<char*> words = {const_cast<char*>(RETORT_BINARY)};
  for (const std::string& argument : arguments) {
    words.push_back(const_cast<char*>(argument.c_str()));
  }
  words.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("cannot fork");
  if (pid_ > 0) return;
  // In the child: only what may be called between fork and exec.
  const int file = ::open(output_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  ::dup2(file, STDOUT_FILENO);
  ::dup2(file, STDERR_FILENO);
  if (file_bytes_max > 0) {
    ::signal(SIGXFSZ, SIG_IGN);  // writes fail with EFBIG instead
    const rlimit limit = {file_bytes_max, file_bytes_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ::execv(RETORT_BINARY, words.data());
  ::_exit(127);
}

RetortProcess::~RetortProcess() {
  if (!Running()) return;
  Signal(SIGKILL);
  Wait();
}

bool RetortProcess::Running() {
  if (!ended_) ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return !ended_;
}

void RetortProcess::Signal(int signal) const {
  if (!ended_) ::kill(pid_, signal);
}

Ended RetortProcess::Wait() {
  if (!ended_) ended_ = ::waitpid(pid_, &status_, 0) == pid_;
  Ended ended;
  if (WIFEXITED(status_)) ended.exit_status = WEXITSTATUS(status_);
  if (WIFSIGNALED(status_)) ended.signal = WTERMSIG(status_);
  ended.output = FileText(output_);
  return ended;
}

Ended RunRetort(const std::vector<std::string>& arguments, const fs::path& folder,
                size_t file_bytes_max) {
  return RetortProcess(arguments, folder / "streams.txt", file_bytes_max).Wait();
}

}  // namespace retort
