#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace retort {

// A folder that goes with the object.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// The whole file; empty if it is not there.
std::string FileText(const std::filesystem::path& path);
void WriteText(const std::filesystem::path& path, const std::string& text);

// What a process left behind.
struct Ended {
  int exit_status = -1;  // -1: a signal ended it
  int signal = 0;
  std::string output;  // of both streams
};

// The `retort` binary at work.
class RetortProcess {
 public:
  // Both streams go to the file `output`. `file_bytes_max` > 0: no file may grow beyond that, which
  // is what a full disk looks like to a process that may not mount one.
  RetortProcess(const std::vector<std::string>& arguments, std::filesystem::path output,
                size_t file_bytes_max = 0);
  ~RetortProcess();  // kills what still runs
  RetortProcess(const RetortProcess&) = delete;
  RetortProcess& operator=(const RetortProcess&) = delete;

  bool Running();
  void Signal(int signal) const;
  Ended Wait();

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
  std::filesystem::path output_;
};

// Runs to the end; the streams are kept in the folder too, for those who look into a failure.
Ended RunRetort(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
                size_t file_bytes_max = 0);

}  // namespace retort
