#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "retort/pipeline/ledger.h"

namespace retort {

// Makes the file and its tables if they are not there, and indexes all its records. Throws
// Error{kCorrupt, kUnsupported} for a file that is something else or of another version.
void OpenLedgerFile(const std::filesystem::path& path);

// Days since 1970: how exactly the time of a record's last use is kept.
int64_t LedgerDay();

// A value as stored: a checksum over key and value, then the value. SQLite does not notice a
// flipped bit in the middle of a page.
std::string SealValue(const LineageKey& key, std::string_view value);
// Throws Error{kCorrupt} naming the file if the checksum does not match.
std::string UnsealValue(const LineageKey& key, std::string_view stored,
                        const std::filesystem::path& path);

// The one connection of a process that writes records.
class LedgerWriter {
 public:
  explicit LedgerWriter(const std::filesystem::path& path);
  ~LedgerWriter();

  void Begin();
  int64_t Add(const LedgerRecord& record, int64_t day);  // its id
  void Touch(int64_t id, int64_t day);
  void Commit();
  void Rollback() noexcept;
  // In a transaction of its own: lets all committed records be found by their keys. Takes as long
  // as some thousand commits of one record, however few there are.
  void Index();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace retort
