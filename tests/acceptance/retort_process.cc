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
                             size_t file_bytes_max, const std::string& program)
    : output_(std::move(output)) {
  std::vector<char*> words = {const_cast<char*>(program.c_str())};
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
    const rlimit limit = {file_bytes_max, file_bytes_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ::execvp(words[0], words.data());
  ::_exit(127);
}

RetortProcess::~RetortProcess() {
  if (!Running()) return;
  Signal(SIGKILL);
  Wait();
}

bool RetortProcess::Running() {
  if (!ended_) ended_ = ::wait4(pid_, &status_, WNOHANG, &usage_) == pid_;
  return !ended_;
}

void RetortProcess::Signal(int signal) const {
  if (!ended_) ::kill(pid_, signal);
}

Ended RetortProcess::Wait() {
  if (!ended_) ended_ = ::wait4(pid_, &status_, 0, &usage_) == pid_;
  Ended ended;
  if (WIFEXITED(status_)) ended.exit_status = WEXITSTATUS(status_);
  if (WIFSIGNALED(status_)) ended.signal = WTERMSIG(status_);
  ended.output = FileText(output_);
  ended.peak_rss_bytes = static_cast<size_t>(usage_.ru_maxrss) * 1024;
  return ended;
}

Ended RunRetort(const std::vector<std::string>& arguments, const fs::path& folder,
                size_t file_bytes_max) {
  return RetortProcess(arguments, folder / "streams.txt", file_bytes_max).Wait();
}

Ended RunScript(const std::string& script, const fs::path& folder) {
  const std::string begin =
      "RETORT='" RETORT_BINARY "' FOLDER='" + folder.string() + "'; cd \"$FOLDER\"\n";
  return RetortProcess({"60", "bash", "-c", begin + script}, folder / "streams.txt", 0, "timeout")
      .Wait();
}

}  // namespace retort
