#include "retort/pipeline/ledger_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "retort/base/file.h"
#include "retort/base/random.h"
#include "retort/pipeline/sqlite_database.h"

namespace retort {
namespace {

constexpr int64_t kApplicationId = 0x52746c64;  // "Rtld"
constexpr int64_t kSchemaVersion = 3;
constexpr int64_t kSecondsPerDay = 86'400;
constexpr size_t kChecksumBytes = 8;

// Records are appended in the order of their ids, so a commit's pages lie together. The index over
// keys, which are digests, would be written all over the place: a page for each record. So it is
// behind: it knows the records up to `indexed.up_to`, and takes the others in at once, in its own
// order (LedgerWriter::Index).
constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS records ("
    "  id INTEGER PRIMARY KEY,"
    "  key BLOB NOT NULL,"      // LineageKey
    "  kind INTEGER NOT NULL,"  // RecordKind
    "  used INTEGER NOT NULL,"  // LedgerSecond
    "  value BLOB NOT NULL);"   // SealValue
    "CREATE TABLE IF NOT EXISTS record_keys ("
    "  key BLOB NOT NULL, kind INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (key, kind))"
    "  WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS indexed (up_to INTEGER NOT NULL);"
    "INSERT INTO indexed SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM indexed);";

// Of two records with one key the later counts.
constexpr const char* kIndex =
    "INSERT OR REPLACE INTO record_keys SELECT key, kind, id FROM records"
    "  WHERE id > (SELECT up_to FROM indexed) ORDER BY key, kind, id;"
    "UPDATE indexed SET up_to = (SELECT coalesce(max(id), 0) FROM records);";

uint64_t Checksum(const LineageKey& key, std::string_view value) {
  // Not against malice: eight bytes a step, each step a bijection of the state.
  uint64_t state = key.Bits() ^ MixBits(value.size());
  while (value.size() >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, value.data(), 8);
    state = MixBits(state ^ word);
    value.remove_prefix(8);
  }
  uint64_t word = 0;
  std::memcpy(&word, value.data(), value.size());
  return MixBits(state ^ word);
}

std::string_view KindName(int64_t kind) {
  switch (static_cast<RecordKind>(kind)) {
    case RecordKind::kCompletion:
      return "completions";
    case RecordKind::kScores:
      return "scores";
    case RecordKind::kEmbedding:
      return "embeddings";
    case RecordKind::kStepOutputs:
      return "step outputs";
  }
  return "unknown";
}

// The version of the file's layout; 0 if it is empty.
int64_t CheckIdentity(Database& database) {
  const int64_t id = database.QueryInt("PRAGMA application_id");
  const int64_t version = database.QueryInt("PRAGMA user_version");
  const int64_t num_tables = database.QueryInt("SELECT count(*) FROM sqlite_master");
  if (num_tables == 0) return 0;
  if (id != kApplicationId) {
    Throw(ErrorCode::kCorrupt, "'{}' is a database, but not a cache of retort: name another file",
          database.path().string());
  }
  if (version < 1 || version > kSchemaVersion) {
    Throw(ErrorCode::kUnsupported,
          "the cache '{}' has the layout {}, this build reads up to {}: delete it or name another",
          database.path().string(), version, kSchemaVersion);
  }
  return version;
}

}  // namespace

int64_t LedgerSecond() { return static_cast<int64_t>(std::time(nullptr)); }

std::string SealValue(const LineageKey& key, std::string_view value) {
  const uint64_t checksum = Checksum(key, value);
  std::string stored(kChecksumBytes, '\0');
  std::memcpy(stored.data(), &checksum, kChecksumBytes);
  return stored.append(value);
}

std::string UnsealValue(const LineageKey& key, std::string_view stored,
                        const std::filesystem::path& path) {
  if (stored.size() >= kChecksumBytes) {
    uint64_t checksum = 0;
    std::memcpy(&checksum, stored.data(), kChecksumBytes);
    stored.remove_prefix(kChecksumBytes);
    if (checksum == Checksum(key, stored)) return std::string(stored);
  }
  Throw(ErrorCode::kCorrupt,
        "the cache '{}' is damaged (the checksum of record {} does not match): delete it with its "
        "-wal and -shm files (what it held is made again), or run with --no-cache",
        path.string(), key.Hex());
}

void OpenLedgerFile(const std::filesystem::path& path) {
  if (path.has_parent_path()) {
    std::error_code failure;
    std::filesystem::create_directories(path.parent_path(), failure);
    if (failure) {
      Throw(ErrorCode::kIo, "cannot make the folder '{}' of the cache: {}",
            path.parent_path().string(), failure.message());
    }
  }
  Database database(path, Database::Mode::kReadWrite);
  CheckIdentity(database);
  database.Execute("PRAGMA journal_mode = WAL");
  database.Execute("BEGIN IMMEDIATE");
  const int64_t layout = CheckIdentity(database);
  // Layout 1 had an index of this name; layouts 1 and 2 counted the time of use in days.
  if (layout == 1) database.Execute("DROP INDEX record_keys");
  if (layout == 1 || layout == 2) {
    database.Execute(
        fmt::format("UPDATE records SET used = (used + 1) * {}", kSecondsPerDay).c_str());
  }
  database.Execute(kSchema);
  database.Execute(kIndex);  // what a killed process left
  database.Execute(fmt::format("PRAGMA application_id = {}", kApplicationId).c_str());
  database.Execute(fmt::format("PRAGMA user_version = {}", kSchemaVersion).c_str());
  database.Execute("COMMIT");
}

struct LedgerWriter::State {
  explicit State(const std::filesystem::path& path)
      : database(path, Database::Mode::kReadWrite),
        add(database, "INSERT INTO records (key, kind, used, value) VALUES (?, ?, ?, ?)"),
        touch(database, "UPDATE records SET used = ? WHERE id = ?") {
    database.Execute("PRAGMA synchronous = NORMAL");
    database.Execute("PRAGMA cache_size = -32768");
    database.Execute("PRAGMA wal_autocheckpoint = 8000");  // pages: 32 MB
  }
  Database database;
  Statement add;
  Statement touch;
};

LedgerWriter::LedgerWriter(const std::filesystem::path& path)
    : state_(std::make_unique<State>(path)) {}
LedgerWriter::~LedgerWriter() = default;

void LedgerWriter::Begin() { state_->database.Execute("BEGIN IMMEDIATE"); }

int64_t LedgerWriter::Add(const LedgerRecord& record, int64_t used) {
  const std::string value = SealValue(record.key, record.value);
  Statement& add = state_->add;
  add.Reset();
  add.BindBlob(1, record.key.view());
  add.BindInt(2, static_cast<int64_t>(record.kind));
  add.BindInt(3, used);
  add.BindBlob(4, value);
  add.Step();
  add.Reset();
  return state_->database.last_insert_id();
}

void LedgerWriter::Touch(int64_t id, int64_t used) {
  Statement& touch = state_->touch;
  touch.Reset();
  touch.BindInt(1, used);
  touch.BindInt(2, id);
  touch.Step();
  touch.Reset();
}

void LedgerWriter::Commit() { state_->database.Execute("COMMIT"); }

void LedgerWriter::Index() {
  Begin();
  state_->database.Execute(kIndex);
  Commit();
}

void LedgerWriter::Rollback() noexcept {
  try {
    state_->add.Reset();
    state_->touch.Reset();
    state_->database.Execute("ROLLBACK");
  } catch (const Error&) {
    // There was no transaction any more: the failure that brought us here ended it.
  }
}

LedgerSummary SummarizeLedger(const std::filesystem::path& path) {
  LedgerSummary summary;
  if (!std::filesystem::exists(path)) return summary;
  OpenLedgerFile(path);
  Database database(path, Database::Mode::kReadWrite);
  Statement kinds(database,
                  "SELECT records.kind, count(*), sum(length(value)) FROM record_keys "
                  "JOIN records USING (id) GROUP BY records.kind ORDER BY records.kind");
  while (kinds.Step()) {
    summary.kinds.push_back({std::string(KindName(kinds.Int(0))),
                             static_cast<uint64_t>(kinds.Int(1)),
                             static_cast<uint64_t>(kinds.Int(2))});
  }
  summary.file_bytes = std::filesystem::file_size(path);
  return summary;
}

uint64_t CollectLedger(const std::filesystem::path& path,
                       std::optional<std::chrono::seconds> max_age,
                       std::optional<uint64_t> value_bytes_max) {
  if (!std::filesystem::exists(path)) return 0;
  OpenLedgerFile(path);
  Database database(path, Database::Mode::kReadWrite);
  database.Execute("BEGIN IMMEDIATE");
  database.Execute(kIndex);
  database.Execute("DELETE FROM records WHERE id NOT IN (SELECT id FROM record_keys)");
  const int64_t before = database.QueryInt("SELECT count(*) FROM records");
  if (max_age) {
    database.Execute(
        fmt::format("DELETE FROM records WHERE used <= {}", LedgerSecond() - max_age->count())
            .c_str());
  }
  if (value_bytes_max) {
    // The newest, by use and then by age, that fit.
    database.Execute(
        fmt::format("DELETE FROM records WHERE id IN (SELECT id FROM (SELECT id, "
                    "sum(length(value)) OVER (ORDER BY used DESC, id DESC) AS total FROM records) "
                    "WHERE total > {})",
                    *value_bytes_max)
            .c_str());
  }
  database.Execute("DELETE FROM record_keys WHERE id NOT IN (SELECT id FROM records)");
  // The next record may get the id of one that is gone.
  database.Execute(kIndex);
  database.Execute("COMMIT");
  const int64_t after = database.QueryInt("SELECT count(*) FROM records");
  if (after != before) database.Execute("VACUUM");
  database.Execute("PRAGMA wal_checkpoint(TRUNCATE)");
  return static_cast<uint64_t>(before - after);
}

FolderLock::FolderLock(const std::filesystem::path& folder) : path_(folder / ".retort.lock") {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    Throw(ErrorCode::kIo, "cannot create '{}': {}", path_.string(), std::strerror(errno));
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    char holder[32] = {};
    const ssize_t size = ::read(descriptor_, holder, sizeof holder - 1);
    ::close(descriptor_);
    if (reason != EWOULDBLOCK) {
      Throw(ErrorCode::kIo, "cannot lock '{}': {}", path_.string(), std::strerror(reason));
    }
    Throw(ErrorCode::kUnavailable,
          "the output folder '{}' is in use by another run (process {}): wait for it or name "
          "another folder",
          folder.string(), size > 0 ? holder : "unknown");
  }
  const std::string holder = std::to_string(::getpid());
  // Only for the message above; the lock holds without it.
  [[maybe_unused]] const bool written = ::ftruncate(descriptor_, 0) == 0 &&
                                        ::pwrite(descriptor_, holder.data(), holder.size(), 0) >= 0;
}

FolderLock::~FolderLock() { ::close(descriptor_); }

void FolderLock::CheckStillThere() const { CheckStillAt(descriptor_, path_); }

}  // namespace retort
