#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace retort {

// A connection to a ledger's file. Errors name the file and, where it is damaged or full, the way
// out. Not thread-safe.
class Database {
 public:
  enum class Mode { kReadOnly, kReadWrite };

  Database(std::filesystem::path path, Mode mode);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void Execute(const char* sql);
  int64_t QueryInt(const char* sql);
  int64_t last_insert_id() const;
  const std::filesystem::path& path() const { return path_; }
  sqlite3* handle() const { return handle_; }

  [[noreturn]] void ThrowError(int result, std::string_view doing) const;

 private:
  std::filesystem::path path_;
  sqlite3* handle_ = nullptr;
};

// A prepared statement, bound and stepped by position (from 1 to bind, from 0 to read).
class Statement {
 public:
  Statement(Database& database, const char* sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // `bytes` must live until the next Reset().
  void BindBlob(int position, std::string_view bytes);
  void BindInt(int position, int64_t value);
  // True if there is a row to read.
  bool Step();
  void Reset();
  int64_t Int(int column) const;
  std::string_view Blob(int column) const;  // until the next Step() or Reset()

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
};

}  // namespace retort
