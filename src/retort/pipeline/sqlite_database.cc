#include "retort/pipeline/sqlite_database.h"

#include <sqlite3.h>

#include <cstring>

#include "retort/base/error.h"

namespace retort {
namespace {

constexpr int kBusyTimeoutMs = 60'000;  // another run's commit, or a gc

}  // namespace

Database::Database(std::filesystem::path path, Mode mode) : path_(std::move(path)) {
  std::error_code ignored;
  if (std::filesystem::exists(path_, ignored) &&
      !std::filesystem::is_regular_file(path_, ignored)) {
    Throw(ErrorCode::kInvalid, "the cache '{}' is no regular file: name another", path_.string());
  }
  const int flags = (mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY
                                             : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) |
                    SQLITE_OPEN_NOMUTEX;
  const int result = sqlite3_open_v2(path_.c_str(), &handle_, flags, nullptr);
  if (result != SQLITE_OK) {
    try {
      ThrowError(result, "open");
    } catch (...) {
      sqlite3_close(handle_);
      throw;
    }
  }
  sqlite3_busy_timeout(handle_, kBusyTimeoutMs);
}

Database::~Database() { sqlite3_close(handle_); }

void Database::ThrowError(int result, std::string_view doing) const {
  const std::string reason = handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(result);
  switch (result & 0xFF) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_SCHEMA:
      Throw(ErrorCode::kCorrupt,
            "the cache '{}' is damaged ({}): delete it with its -wal and -shm files (what it held "
            "is made again), or run with --no-cache",
            path_.string(), reason);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      Throw(ErrorCode::kUnavailable, "the cache '{}' is held by another process: {}",
            path_.string(), reason);
    case SQLITE_NOMEM:
      Throw(ErrorCode::kExhausted, "cannot {} the cache '{}': out of memory", doing,
            path_.string());
    default: {
      // "disk I/O error" alone leaves the user guessing.
      const int system = handle_ != nullptr ? sqlite3_system_errno(handle_) : 0;
      Throw(ErrorCode::kIo,
            "cannot {} the cache '{}': {}{}; --cache names another, --no-cache runs without one",
            doing, path_.string(), reason,
            system == 0 ? "" : fmt::format(" ({})", std::strerror(system)));
    }
  }
}

void Database::Execute(const char* sql) {
  const int result = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) ThrowError(result, "write");
}

int64_t Database::QueryInt(const char* sql) {
  Statement statement(*this, sql);
  return statement.Step() ? statement.Int(0) : 0;
}

int64_t Database::last_insert_id() const { return sqlite3_last_insert_rowid(handle_); }

Statement::Statement(Database& database, const char* sql) : database_(database) {
  const int result = sqlite3_prepare_v3(database.handle(), sql, -1, SQLITE_PREPARE_PERSISTENT,
                                        &statement_, nullptr);
  if (result != SQLITE_OK) database.ThrowError(result, "read");
}

Statement::~Statement() { sqlite3_finalize(statement_); }

void Statement::BindBlob(int position, std::string_view bytes) {
  const int result = sqlite3_bind_blob64(statement_, position, bytes.empty() ? "" : bytes.data(),
                                         bytes.size(), SQLITE_STATIC);
  if (result != SQLITE_OK) database_.ThrowError(result, "write");
}

void Statement::BindInt(int position, int64_t value) {
  const int result = sqlite3_bind_int64(statement_, position, value);
  if (result != SQLITE_OK) database_.ThrowError(result, "write");
}

bool Statement::Step() {
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result != SQLITE_DONE) database_.ThrowError(result, "use");
  return false;
}

void Statement::Reset() { sqlite3_reset(statement_); }

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string_view Statement::Blob(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  return {static_cast<const char*>(data),
          static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

}  // namespace retort
