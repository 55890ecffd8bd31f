// kill -9 in every step, and a resume after each.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <sstream>
#include <thread>

#include "retort/base/random.h"
#include "retort/pipeline/ledger.h"
#include "tests/acceptance/retort_process.h"
#include "tests/acceptance/subject.h"

namespace retort {
namespace {

namespace fs = std::filesystem;

// What an uninterrupted run asks and gives.
struct Reference {
  std::string output;
  std::vector<std::string> steps;                  // that ask the model, in pipeline order
  std::map<std::string, std::string> steps_of_id;  // request id → step
  std::map<std::string, int> num_of_step;
};

Reference ReferenceRun(const Subject& subject, int num_rows) {
  ScratchFolder folder;
  const Ended ended = RunRetort(subject.Arguments(folder.path(), num_rows), folder.path());
  EXPECT_EQ(ended.exit_status, 0) << ended.output;
  Reference reference;
  reference.output = FileText(OutputFile(folder.path()));
  for (const EngineEvent& event : ReadEngineLog(folder.path() / "log")) {
    if (event.event == "start" && reference.steps_of_id.emplace(event.id, event.Step()).second) {
      ++reference.num_of_step[event.Step()];
    }
  }
  const Json report = RunJson(folder.path());
  for (const Json& step : report.at("steps")) {
    const auto name = step.at("name").get<std::string>();
    if (reference.num_of_step.contains(name)) reference.steps.push_back(name);
  }
  return reference;
}

// Which of the requests are in the ledger, read from a copy of it: nothing that looks may change
// what the next run finds.
std::set<std::string> Committed(const fs::path& folder, const Reference& reference) {
  std::set<std::string> committed;
  if (!fs::exists(folder / "cache.sqlite")) return committed;
  ScratchFolder copy;
  for (const char* name : {"cache.sqlite", "cache.sqlite-wal"}) {
    if (fs::exists(folder / name)) fs::copy_file(folder / name, copy.path() / name);
  }
  Ledger ledger(copy.path() / "cache.sqlite");
  for (const auto& [id, step] : reference.steps_of_id) {
    Sha256 digest;
    const LineageKey key = FinishKey(digest.Field("request").Field(id));
    for (const RecordKind kind :
         {RecordKind::kCompletion, RecordKind::kScores, RecordKind::kEmbedding}) {
      if (ledger.Find(key, kind)) committed.insert(id);
    }
  }
  return committed;
}

// The step to kill next: the first that has not had its share of kills and has work left. "": none.
std::string NextTarget(const Reference& reference, const std::set<std::string>& committed,
                       const std::map<std::string, int>& num_kills, int num_kills_wanted) {
  const int share = (num_kills_wanted + static_cast<int>(reference.steps.size()) - 1) /
                    static_cast<int>(reference.steps.size());
  std::map<std::string, int> num_open = reference.num_of_step;
  for (const std::string& id : committed) --num_open[reference.steps_of_id.at(id)];
  std::string last;
  for (const std::string& step : reference.steps) {
    if (num_open[step] == 0) continue;
    const auto found = num_kills.find(step);
    if (found == num_kills.end() || found->second < share) return step;
    last = step;
  }
  return last;
}

// Waits until the engine began the `count`th request of the step, or the process ended.
void WaitForStart(RetortProcess& process, const fs::path& log, const std::string& step, int count) {
  const std::string tag = "\"tag\":\"" + step + "/";
  while (process.Running()) {
    int started = 0;
    std::istringstream lines(FileText(log));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("{\"event\":\"start\"") && line.find(tag) != line.npos) ++started;
    }
    if (started >= count) return;
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
}

class Kills : public ::testing::Test {
 protected:
  // One run, killed in `step` (empty: left alone), and what its log says. False: it ended itself.
  bool Attempt(const Subject& subject, const Reference& reference, int num_rows,
               const std::string& step, int count) {
    const std::set<std::string> committed = Committed(folder_.path(), reference);
    fs::remove(log_);
    RetortProcess process(subject.Arguments(folder_.path(), num_rows), folder_.path() / "streams");
    if (!step.empty()) {
      WaitForStart(process, log_, step, count);
      const uint64_t pause_us = RandomBits(11, num_started_ + static_cast<size_t>(count)) % 2000;
      std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
      process.Signal(SIGKILL);
    }
    const Ended ended = process.Wait();
    Account(subject, committed);
    const std::string output = FileText(OutputFile(folder_.path()));
    EXPECT_TRUE(output.empty() || output == reference.output) << "half a file under its last name";
    if (ended.signal == SIGKILL) return true;
    EXPECT_EQ(ended.exit_status, 0) << ended.output;
    return false;
  }

  // Reads the log of the attempt that just ended.
  void Account(const Subject& subject, const std::set<std::string>& committed) {
    std::set<std::string> open;
    std::set<std::string> started;
    for (const EngineEvent& event : ReadEngineLog(log_)) {
      if (event.event == "start") {
        EXPECT_FALSE(committed.contains(event.id)) << event.tag << " ran again after its commit";
        EXPECT_TRUE(started.insert(event.id).second) << event.tag << " ran twice in one process";
        if (known_.contains(event.id)) {
          ++num_repeated_;
          EXPECT_TRUE(lost_.contains(event.id)) << event.tag << " was not in flight at a kill";
        }
        open.insert(event.id);
        ++num_started_;
      } else {
        open.erase(event.id);
      }
    }
    EXPECT_LE(open.size(), static_cast<size_t>(subject.max_num_seqs));
    known_.insert(started.begin(), started.end());
    started_ = std::move(started);
  }

  // After a kill: what was begun and is not in the ledger was in flight.
  void NoteLost(const Reference& reference) {
    const std::set<std::string> committed = Committed(folder_.path(), reference);
    for (const std::string& id : started_) {
      if (committed.contains(id)) continue;
      lost_.insert(id);
      ++num_lost_;
    }
  }

  ScratchFolder folder_;
  const fs::path log_ = folder_.path() / "log";
  std::set<std::string> known_;    // begun in any attempt
  std::set<std::string> started_;  // begun in the last attempt
  std::set<std::string> lost_;     // in flight at some kill
  size_t num_started_ = 0;
  size_t num_repeated_ = 0;
  size_t num_lost_ = 0;
};

TEST_F(Kills, LoseNothingAndRepeatOnlyWhatWasInFlight) {
  std::string why;
  const auto subject = FindSubject(why);
  if (!subject) GTEST_SKIP() << why;
  const int num_kills_wanted = Setting("RETORT_KILLS", 20);
  const int num_rows = Setting("RETORT_ACCEPTANCE_ROWS", 8 + num_kills_wanted);
  const Reference reference = ReferenceRun(*subject, num_rows);
  ASSERT_FALSE(reference.output.empty());
  ASSERT_GE(reference.steps.size(), 5u);

  std::map<std::string, int> num_kills;
  int num_all = 0;
  for (int attempt = 0; num_all < num_kills_wanted; ++attempt) {
    ASSERT_LT(attempt, 4 * num_kills_wanted);
    const std::set<std::string> committed = Committed(folder_.path(), reference);
    const std::string step = NextTarget(reference, committed, num_kills, num_kills_wanted);
    ASSERT_NE(step, "") << "all work was done after " << num_all << " kills: give it more rows";
    const int spread = std::max(1, reference.num_of_step.at(step) / (3 * num_kills_wanted));
    const int count = 1 + static_cast<int>(RandomBits(5, static_cast<uint64_t>(attempt)) %
                                           static_cast<uint64_t>(spread));
    if (!Attempt(*subject, reference, num_rows, step, count)) continue;
    NoteLost(reference);
    ++num_kills[step];
    ++num_all;
  }
  EXPECT_FALSE(Attempt(*subject, reference, num_rows, "", 0));
  EXPECT_TRUE(FileText(OutputFile(folder_.path())) == reference.output);
  EXPECT_EQ(known_.size(), reference.steps_of_id.size());
  for (const std::string& step : reference.steps) EXPECT_GT(num_kills[step], 0) << step;
  EXPECT_LE(num_repeated_, num_lost_);
  std::cout << "kills: " << num_all << " (";
  for (const std::string& step : reference.steps) {
    std::cout << step << " " << num_kills[step] << (step == reference.steps.back() ? "" : ", ");
  }
  std::cout << "); " << reference.steps_of_id.size() << " requests, " << num_repeated_
            << " begun again of " << num_lost_ << " in flight at a kill, 0 after their commit\n";
}

}  // namespace
}  // namespace retort
