#include "retort/pipeline/ledger.h"

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "retort/base/home.h"
#include "retort/base/random.h"
#include "retort/pipeline/ledger_file.h"
#include "retort/pipeline/sqlite_database.h"

namespace retort {
namespace {

constexpr size_t kReaders = 4;
constexpr size_t kCommitRecordsMax = 2048;
constexpr size_t kUnindexedRecordsMax = 65'536;  // 6 MB of RecentRecords

// A connection that looks records up.
struct Reader {
  explicit Reader(const std::filesystem::path& path)
      : database(path, Database::Mode::kReadWrite),
        find(database,
             "SELECT id, value, used FROM records WHERE id = "
             "(SELECT id FROM record_keys WHERE key = ? AND kind = ?)"),
        // The key, because another process may have removed the record and reused the id.
        find_recent(database,
                    "SELECT id, value, used FROM records WHERE key = ? AND kind = ? AND id = ?") {
    // The page cache is per connection; the kernel's is shared.
    database.Execute("PRAGMA cache_size = -4096");
  }
  std::mutex mutex;
  Database database;
  Statement find;
  Statement find_recent;
};

struct Pending {
  LedgerRecord record;
  Ledger::Done done;  // may be empty
};

// Which keys may have been added: 1 MiB of bits, one a key. After a million keys an eighth of the
// others seem added too, and are searched for.
class KeyFilter {
 public:
  void Add(const LineageKey& key) { words_[Word(key)] |= Bit(key); }
  bool MayHave(const LineageKey& key) const { return (words_[Word(key)] & Bit(key)) != 0; }

 private:
  static constexpr size_t kWords = size_t{1} << 17;
  static size_t Word(const LineageKey& key) { return key.Bits() / 64 % kWords; }
  static uint64_t Bit(const LineageKey& key) { return uint64_t{1} << key.Bits() % 64; }

  std::array<std::atomic<uint64_t>, kWords> words_ = {};
};

// The ids of records that were committed, but are not in the file's index yet. Thread-safe.
class RecentRecords {
 public:
  void Add(const LineageKey& key, RecordKind kind, int64_t id) {
    std::lock_guard lock(mutex_);
    ids_[{key, kind}] = id;
  }
  std::optional<int64_t> Find(const LineageKey& key, RecordKind kind) const {
    std::lock_guard lock(mutex_);
    const auto found = ids_.find({key, kind});
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  void Clear() {
    std::lock_guard lock(mutex_);
    ids_.clear();
  }
  size_t size() const {
    std::lock_guard lock(mutex_);
    return ids_.size();
  }

 private:
  using Name = std::pair<LineageKey, RecordKind>;
  struct Hash {
    size_t operator()(const Name& name) const {
      return static_cast<size_t>(name.first.Bits() + static_cast<uint64_t>(name.second));
    }
  };
  mutable std::mutex mutex_;
  std::unordered_map<Name, int64_t, Hash> ids_;
};

}  // namespace

class Ledger::Impl {
 public:
  Impl(std::filesystem::path path, LedgerOptions options)
      : path_(std::move(path)), options_(std::move(options)) {
    OpenLedgerFile(path_);
    for (auto& reader : readers_) reader = std::make_unique<Reader>(path_);
    was_empty_ =
        readers_[0]->database.QueryInt("SELECT count(*) FROM (SELECT 1 FROM records LIMIT 1)") == 0;
    writer_ = std::thread([this] { Write(); });
  }

  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    writer_.join();
  }

  std::optional<std::string> Find(const LineageKey& key, RecordKind kind) {
    if (was_empty_ && !added_.MayHave(key)) return std::nullopt;
    Reader& reader = *readers_[key.Bits() % kReaders];
    const std::optional<int64_t> recent = recent_.Find(key, kind);
    std::lock_guard lock(reader.mutex);
    Statement& find = recent ? reader.find_recent : reader.find;
    find.BindBlob(1, key.view());
    find.BindInt(2, static_cast<int64_t>(kind));
    if (recent) find.BindInt(3, *recent);
    std::optional<std::string> value;
    try {
      if (find.Step()) {
        value = UnsealValue(key, find.Blob(1), path_);
        // Either way: the clock may have been set back.
        if (std::abs(LedgerSecond() - find.Int(2)) >= kUseSeconds) Touch(find.Int(0));
      }
    } catch (...) {
      find.Reset();
      throw;
    }
    find.Reset();
    return value;
  }

  void Put(LedgerRecord record, Done done, bool may_block) {
    std::unique_lock lock(mutex_);
    if (may_block) {
      room_.wait(lock, [this] { return queue_.size() < kLedgerQueueMax || failure_; });
    }
    if (failure_) {
      const Error error = *failure_;
      lock.unlock();
      if (!done) throw error;
      done(&error);
      return;
    }
    queue_.push_back({std::move(record), std::move(done)});
    // The writer sleeps only when the queue is empty.
    if (queue_.size() == 1) wake_.notify_one();
  }

  void Flush() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return (queue_.empty() && !writing_) || failure_; });
    if (failure_) throw *failure_;
  }

  const std::filesystem::path& path() const { return path_; }
  uint64_t num_committed() const { return num_committed_; }

 private:
  void Touch(int64_t id) {
    std::lock_guard lock(mutex_);
    if (touched_.size() < kLedgerQueueMax) touched_.push_back(id);
  }

  void Write() {
    std::unique_ptr<LedgerWriter> writer;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return ending_ || !queue_.empty(); });
      if (queue_.empty() && touched_.empty()) break;
      if (queue_.empty() && failure_) return;
      std::vector<Pending> batch;
      while (!queue_.empty() && batch.size() < kCommitRecordsMax) {
        batch.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
      std::vector<int64_t> touched = std::move(touched_);
      touched_.clear();
      writing_ = true;
      lock.unlock();
      room_.notify_all();
      std::optional<Error> failure = Commit(writer, batch, touched);
      for (const Pending& pending : batch) {
        if (pending.done) pending.done(failure ? &*failure : nullptr);
      }
      batch.clear();
      if (!failure && recent_.size() >= kUnindexedRecordsMax) failure = Index(*writer);
      lock.lock();
      writing_ = false;
      if (failure) Fail(lock, *failure);
      if (queue_.empty()) idle_.notify_all();
      if (failure_) return;
    }
    lock.unlock();
    if (recent_.size() > 0) Index(*writer);  // if it fails, the next to open the file does it
  }

  // The error, if there was one. Nothing of the batch is kept then.
  std::optional<Error> Commit(std::unique_ptr<LedgerWriter>& writer,
                              const std::vector<Pending>& batch,
                              const std::vector<int64_t>& touched) {
    try {
      if (options_.guard) options_.guard();
      if (options_.before_commit) {
        std::vector<LedgerRecord> records;
        for (const Pending& pending : batch) records.push_back(pending.record);
        options_.before_commit(records);
      }
      if (!writer) writer = std::make_unique<LedgerWriter>(path_);
      writer->Begin();
      const int64_t now = LedgerSecond();
      std::vector<int64_t> ids;
      for (const Pending& pending : batch) ids.push_back(writer->Add(pending.record, now));
      for (const int64_t id : touched) writer->Touch(id, now);
      writer->Commit();
      for (size_t i = 0; i < batch.size(); ++i) {
        const LedgerRecord& record = batch[i].record;
        recent_.Add(record.key, record.kind, ids[i]);
        added_.Add(record.key);
      }
      num_committed_ += batch.size();
      return std::nullopt;
    } catch (...) {
      const Error error = CurrentError();
      if (writer) writer->Rollback();
      return error;
    }
  }

  std::optional<Error> Index(LedgerWriter& writer) {
    try {
      writer.Index();
      recent_.Clear();
      return std::nullopt;
    } catch (...) {
      const Error error = CurrentError();
      writer.Rollback();
      return error;
    }
  }

  // Tells everyone who waits.
  void Fail(std::unique_lock<std::mutex>& lock, const Error& error) {
    failure_ = error;
    std::deque<Pending> lost = std::move(queue_);
    queue_.clear();
    lock.unlock();
    room_.notify_all();
    for (const Pending& pending : lost) {
      if (pending.done) pending.done(&error);
    }
    lock.lock();
    idle_.notify_all();
  }

  std::filesystem::path path_;
  LedgerOptions options_;
  std::array<std::unique_ptr<Reader>, kReaders> readers_;
  bool was_empty_ = false;
  KeyFilter added_;
  RecentRecords recent_;

  std::mutex mutex_;
  std::condition_variable wake_;  // the writer
  std::condition_variable room_;  // putters, when the queue was full
  std::condition_variable idle_;  // flushers
  std::deque<Pending> queue_;
  std::vector<int64_t> touched_;  // ids of records used again
  bool ending_ = false;
  bool writing_ = false;
  std::optional<Error> failure_;
  std::atomic<uint64_t> num_committed_ = 0;
  std::thread writer_;
};

Ledger::Ledger(std::filesystem::path path, LedgerOptions options)
    : impl_(std::make_unique<Impl>(std::move(path), std::move(options))) {}
Ledger::~Ledger() = default;

std::optional<std::string> Ledger::Find(const LineageKey& key, RecordKind kind) {
  return impl_->Find(key, kind);
}
void Ledger::Put(LedgerRecord record, Done done) {
  impl_->Put(std::move(record), std::move(done), false);
}
void Ledger::Put(LedgerRecord record) { impl_->Put(std::move(record), {}, true); }
void Ledger::Flush() { impl_->Flush(); }
const std::filesystem::path& Ledger::path() const { return impl_->path(); }
uint64_t Ledger::num_committed() const { return impl_->num_committed(); }

std::filesystem::path DefaultCachePath() { return DefaultHome() / "cache.sqlite"; }

}  // namespace retort
