#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "retort/base/error.h"
#include "retort/pipeline/lineage.h"

namespace retort {

enum class RecordKind { kCompletion = 1, kScores = 2, kEmbedding = 3, kStepOutputs = 4 };
inline constexpr int kNumRecordKinds = 4;

// One finished piece of work, named by what it depends on.
struct LedgerRecord {
  LineageKey key;
  RecordKind kind = RecordKind::kCompletion;
  std::string value;
};

struct LedgerOptions {
  // Called on the writer's thread before each commit. What it throws fails the ledger as a full
  // disk would: nothing more is kept.
  std::function<void()> guard;
  // Likewise, with the records about to be committed. For tests.
  std::function<void(const std::vector<LedgerRecord>&)> before_commit;
};

// What is finished, content-addressed, in one SQLite file that several processes may share. A
// record survives a kill of the process once its commit is told; a loss of power may take the last
// seconds, but leaves the file whole. Other processes find a record once it is indexed: at the
// latest after 65,536 more, or when one opens the file. Thread-safe. Commits are grouped: about
// 80,000 records/s.
class Ledger {
 public:
  // Opens or makes the file and its folder. Throws Error{kIo} or {kCorrupt} naming it and the way
  // out.
  explicit Ledger(std::filesystem::path path, LedgerOptions options = {});
  ~Ledger();  // commits what was put
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // The value of a record that is committed. In a ledger that was empty when it was opened, a key
  // that was not put since costs no search. Throws Error{kCorrupt} if the record is damaged.
  std::optional<std::string> Find(const LineageKey& key, RecordKind kind);

  // Told once: null after the commit, else why there is none. On the writer's thread, or on the
  // caller's if the ledger has failed; return soon.
  using Done = std::function<void(const Error*)>;

  // Queues a record; does not block. For records whose number in flight is bounded elsewhere.
  void Put(LedgerRecord record, Done done);
  // Queues a record nobody waits for. Blocks while kLedgerQueueMax records are queued. Throws the
  // error of an earlier commit.
  void Put(LedgerRecord record);

  // Waits until all that was put is committed. Throws the error of a commit.
  void Flush();

  const std::filesystem::path& path() const;
  uint64_t num_committed() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};
inline constexpr size_t kLedgerQueueMax = 8192;

// `retort cache ls`: what a ledger's file holds.
struct LedgerSummary {
  struct Kind {
    std::string name;
    uint64_t num_records = 0;
    uint64_t value_bytes = 0;
  };
  std::vector<Kind> kinds;
  uint64_t file_bytes = 0;
};
LedgerSummary SummarizeLedger(const std::filesystem::path& path);

// `retort cache gc`: removes records not used for `max_age`, then the longest unused until the
// values take at most `value_bytes_max`; gives the space back to the file system. Returns how many.
uint64_t CollectLedger(const std::filesystem::path& path,
                       std::optional<std::chrono::seconds> max_age,
                       std::optional<uint64_t> value_bytes_max);

// cache.sqlite in DefaultHome() (docs/decisions/0003-one-cache-per-user.md).
std::filesystem::path DefaultCachePath();

// Holds a folder for one run: a second one is refused. The lock goes with the process, however it
// ends.
class FolderLock {
 public:
  // Throws Error{kUnavailable} naming the folder and the process that has it, or {kIo}.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  // Throws Error{kIo} if the folder was removed or replaced: nothing more can be written to it.
  void CheckStillThere() const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace retort
