#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "retort/base/scratch_folder_test.h"

namespace retort {

// The whole file; empty if it is not there.
std::string FileText(const std::filesystem::path& path);
void WriteText(const std::filesystem::path& path, const std::string& text);

// What a process left behind.
struct Ended {
  int exit_status = -1;  // -1: a signal ended it
  int signal = 0;
  std::string output;  // of both streams
  size_t peak_rss_bytes = 0;
};

// The `retort` binary at work.
class RetortProcess {
 public:
  // Both streams go to the file `output`. `file_bytes_max` > 0: no file may grow beyond that, which
  // is what a full disk looks like to a process that may not mount one. `program` is found in
  // $PATH.
  RetortProcess(const std::vector<std::string>& arguments, std::filesystem::path output,
                size_t file_bytes_max = 0, const std::string& program = RETORT_BINARY);
  ~RetortProcess();  // kills what still runs
  RetortProcess(const RetortProcess&) = delete;
  RetortProcess& operator=(const RetortProcess&) = delete;

  bool Running();
  void Signal(int signal) const;
  Ended Wait();

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  rusage usage_ = {};
  bool ended_ = false;
  std::filesystem::path output_;
};

// Runs to the end; the streams are kept in the folder too, for those who look into a failure.
Ended RunRetort(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
                size_t file_bytes_max = 0);

// Runs a script by bash, in which $RETORT is the binary and $FOLDER the folder. Whatever takes
// longer than a minute is ended with status 124.
Ended RunScript(const std::string& script, const std::filesystem::path& folder);

}  // namespace retort
